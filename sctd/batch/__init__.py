"""Many assets in one go: the prior loaded once, every device full, and a run that survives the night."""
