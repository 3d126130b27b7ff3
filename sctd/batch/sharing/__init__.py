"""One prior for several runs: what they ask at the same time is answered in one call."""
