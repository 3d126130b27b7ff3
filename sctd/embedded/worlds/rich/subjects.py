"""What a prompt of the rich world asks for: one or two things, their clothes, poses and materials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.registry import named

RELATIONS = ("on", "in", "beside", "riding", "hatching from")
MAPS = ("", "normal", "albedo")


@dataclass(frozen=True)
class Worn:
    """A hat, a garment or a held thing, in a colour of its own or in the usual one."""

    name: str
    color: str = ""


@dataclass(frozen=True)
class Thing:
    """One kind and what the prompt says of it; empty fields mean the usual."""

    kind: str
    color: str = ""
    style: str = ""
    """A name of materials.STYLES."""
    costume: str = ""
    """A name of figures.COSTUMES."""
    wears: tuple[Worn, ...] = ()
    pose: str = ""
    """sitting, standing, dancing, waving; props and rides bring their own."""
    holds: Worn | None = None
    count: int = 1
    """1, or 2 side by side."""

    @property
    def shown_color(self) -> str:
        """The visible colour: the one asked for, or the kind's usual one."""
        return self.color or KINDS[self.kind].color


@dataclass(frozen=True)
class Subject:
    """A thing, perhaps on, in or beside another, as a photo or as a map."""

    world: ClassVar[str] = "rich"
    thing: Thing
    relation: str = ""
    other: Thing | None = None
    map: str = ""
    """"" for a picture in light, "normal" or "albedo"."""

    def __str__(self) -> str:
        return str(named("sctd.embedded.worlds.rich.captions:usual")(self))

    @property
    def kind(self) -> str:
        return self.thing.kind

    @property
    def color(self) -> str:
        return self.thing.color

    @property
    def has_front(self) -> bool:
        return self.other is not None or self.thing.count > 1 or KINDS[self.thing.kind].front
