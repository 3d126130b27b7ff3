"""One prior for several runs: their simultaneous calls are joined into one."""
