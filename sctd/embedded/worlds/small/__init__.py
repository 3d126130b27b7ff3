"""The small world: one object of few kinds, in a colour and a pattern."""
