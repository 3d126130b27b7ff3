"""A run on the disk: its folder, the lock on it, its checkpoints, and the signals that end it."""
