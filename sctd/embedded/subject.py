"""What prompts ask for, whatever the world. Loads nothing."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Subject(Protocol):
    """What a prompt asks for, whatever the world."""

    @property
    def world(self) -> str:
        """Its world, a name of world.WORLDS."""

    @property
    def kind(self) -> str: ...

    @property
    def color(self) -> str:
        """A name, empty where the prompt leaves it open."""

    @property
    def has_front(self) -> bool:
        """Whether it looks different from every side."""


class Asked(NamedTuple):
    """A prompt, and what it asks for."""

    subject: Any
    view: str
    """front, side, back or overhead."""
    text: str
