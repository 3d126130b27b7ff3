"""Gaussians in training: optimiser, densification, and losses."""
