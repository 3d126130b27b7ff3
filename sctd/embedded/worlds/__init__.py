"""One module for each world; ``sctd/embedded/world.py`` finds them by name."""
