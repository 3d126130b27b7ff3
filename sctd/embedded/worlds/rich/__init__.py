"""The rich world: scenes for a prior that is told more than a kind and a colour. See docs/rich_world.md."""
