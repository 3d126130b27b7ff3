"""The rich world: scenes whose prompts say more than a kind and a colour. See docs/rich_world.md."""
