"""Gaussians as they are trained: their optimiser, where they come and go, and the losses of their own."""
