"""Scores finished runs by the procedural truth, CLIP and a reward model; each number has an interval."""
