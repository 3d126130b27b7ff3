"""A run on the disk: its folder and who works in it, its checkpoints, and the signals that end it."""
