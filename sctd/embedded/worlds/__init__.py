"""A module a world; ``sctd/embedded/world.py`` finds them by name."""
