"""How good finished runs are: the procedural truth, CLIP, a reward model; each number with its interval."""
