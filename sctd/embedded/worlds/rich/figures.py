"""Subjects => sculptures: this module dresses and equips creatures, colours things and joins two of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sctd.embedded.worlds.rich import people
from sctd.embedded.worlds.rich.clothes import CLOTHES, clothes_material
from sctd.embedded.worlds.rich.hats import HATS, hat_material
from sctd.embedded.worlds.rich.heads import head
from sctd.embedded.worlds.rich.kinds import KINDS, Kind
from sctd.embedded.worlds.rich.materials import COLORS, STONE, plain, style_of
from sctd.embedded.worlds.rich.people import ASTRONAUT, ROBOT
from sctd.embedded.worlds.rich.props import HELD, oars
from sctd.embedded.worlds.rich.rig import Body, Skeleton, body, skeleton_of
from sctd.embedded.worlds.rich.sculpture import Frame, Part, Sculpture
from sctd.embedded.worlds.rich.subjects import Subject, Thing, Worn
from sctd.embedded.worlds.rich.tails import tail
from sctd.embedded.worlds.rich.things import broken_egg

COSTUMES: dict[str, tuple[tuple[str, ...], str]] = {
    "wizard": (("robe", "wizard hat"), ""),
    "clown": (("clown suit", "wig", "red nose"), ""),
    "nurse": (("nurse dress", "nurse cap"), ""),
    "lumberjack": (("plaid shirt", "beanie"), "axe"),
    "knight": (("armour", "helmet"), ""),
    "king": (("gown", "flat cap"), ""),
}
"""Costume => (garments, what is held)."""
UPRIGHT = {"armour", "puffy jacket", "tutu", "robe", "clown suit", "gown", "plaid shirt", "nurse dress"}
"""Garments that make an animal stand on its hind legs."""


def sculpture_of(subject: Subject) -> Sculpture:
    """The whole scene of a subject, not yet scaled."""
    if subject.other is None:
        return _several(subject.thing)
    return _PLACED[subject.relation](subject.thing, subject.other)


def _several(thing: Thing) -> Sculpture:
    one = build(thing)[0]
    if thing.count == 1:
        return one
    return _side_by_side(one, build(replace(thing, count=1))[0])


def _side_by_side(a: Sculpture, b: Sculpture) -> Sculpture:
    """Both things on one floor, turned a little towards each other."""
    s = Sculpture()
    (low_a, high_a), (low_b, _) = a.bounds(), b.bounds()
    s.include(a, Frame.at((-high_a[0] - 0.04, -low_a[1], 0)))
    s.include(b, Frame.at((-low_b[0] + 0.04, -low_b[1], 0)))
    return s


def pose_of(thing: Thing, kind: Kind) -> str:
    """The pose that a thing's props, garments or words imply, else the species' own stance."""
    _, held = COSTUMES.get(thing.costume, ((), ""))
    prop = thing.holds.name if thing.holds else held
    if prop:
        return HELD[prop][0]
    if thing.pose in ("dancing", "waving", "sitting", "seated", "rowing"):
        return thing.pose
    if thing.pose == "standing" or thing.costume or any(worn.name in UPRIGHT for worn in thing.wears):
        return "upright"
    return kind.species.stance if kind.species else "upright"


def build(thing: Thing, pose: str = "") -> tuple[Sculpture, Body | None]:
    """One thing, dressed; with its body where it has one."""
    s, kind = Sculpture(), KINDS[thing.kind]
    if not kind.alive:
        assert kind.build is not None
        kind.build(s, kind.material(thing.color))
        made = None
    else:
        bones = _bones(kind, pose or pose_of(thing, kind))
        made = _flesh(s, thing, kind, bones)
        garments, held = COSTUMES.get(thing.costume, ((), ""))
        for worn in (*(Worn(name) for name in garments), *thing.wears):
            _put_on(s, made, worn)
        holds = thing.holds or (Worn(held) if held else None)
        if holds:
            _, hold, usual = HELD[holds.name]
            hold(s, made, plain(COLORS[holds.color], 0.3) if holds.color else usual)
    if thing.style == "statue":
        low, high = s.bounds()
        middle, (x, _, z) = (low + high) / 2, (high - low) / 2
        s.box((middle[0], low[1] - 0.10, middle[2]), (x + 0.04, 0.10, z + 0.08), STONE, rounding=0.02)
    if thing.style and not (thing.style == "vegetables" and kind.figure is people.robot):
        s.redressed(0, style_of(thing.style, thing.color))
    return s, made


def _bones(kind: Kind, pose: str) -> Skeleton:
    species = kind.species or (ROBOT if kind.figure is people.robot else ASTRONAUT)
    return skeleton_of(species, "upright" if pose == "four" and kind.figure else pose)


def _flesh(s: Sculpture, thing: Thing, kind: Kind, bones: Skeleton) -> Body:
    if thing.style == "vegetables" and kind.figure is people.robot:
        return people.vegetable_robot(s, bones)
    if kind.figure is not None:
        return kind.figure(s, bones, kind.material(thing.color))
    assert kind.species is not None
    species = kind.species
    if thing.color:  # the coat, and what has its colour, change
        species = replace(species, coat=COLORS[thing.color])
    made = body(s, species, bones)
    head(s, made)
    tail(s, made)
    return made


def _put_on(s: Sculpture, b: Body, worn: Worn) -> None:
    color = COLORS[worn.color] if worn.color else None
    if worn.name in HATS:
        HATS[worn.name][0](s, b, hat_material(worn.name, color))
    else:
        CLOTHES[worn.name][0](s, b, clothes_material(worn.name, color))


# Two things: (the first, the second).


def _on(thing: Thing, other: Thing) -> Sculpture:
    s = Sculpture()
    below, (upper, _) = build(other)[0], build(thing)
    top = KINDS[other.kind].top
    assert top is not None
    low, high = upper.bounds()
    scale = top[3] / float(max(high[0] - low[0], high[2] - low[2], 0.6 * (high[1] - low[1])))
    s.include(below, Frame.at())
    middle = (low + high) / 2
    x, y, z, _ = top
    s.include(
        upper, Frame.at((x - scale * middle[0], y - scale * low[1], z - scale * middle[2]), scale=scale)
    )
    return s


def _beside(thing: Thing, other: Thing) -> Sculpture:
    a, b = build(thing)[0], build(other)[0]
    return _side_by_side(a, b)


def _riding(thing: Thing, other: Thing) -> Sculpture:
    s, kind = Sculpture(), KINDS[other.kind]
    assert kind.seat is not None
    rowing = other.kind == "boat"
    rider, made = build(thing, "rowing" if rowing else "seated")
    assert made is not None
    if rowing:
        oars(rider, made, KINDS["violin"].stuff((0.80, 0.60, 0.36)))
    s.include(build(other)[0], Frame.at(scale=kind.size))
    seat = np.asarray(kind.seat) * kind.size
    bottom = made.skeleton.pelvis[1] - made.torso.scale * 1.02
    s.include(rider, Frame.at(seat - np.array([0, bottom, made.skeleton.pelvis[2]])))
    return s


def _in(thing: Thing, other: Thing) -> Sculpture:
    kind = KINDS[other.kind]
    if kind.seat is not None and KINDS[thing.kind].alive and other.kind != "egg":
        return _riding(thing, other)
    return _hatching(thing, other) if other.kind == "egg" else _on(thing, other)


def _hatching(thing: Thing, other: Thing) -> Sculpture:
    """In the lower half of a broken egg, head, chest and arms above its rim."""
    s, shell = Sculpture(), Sculpture()
    broken_egg(shell, KINDS["egg"].material(other.color))
    if other.style:
        shell.redressed(0, style_of(other.style, other.color))
    s.include(shell, Frame.at())
    inner, made = build(thing, "holding" if KINDS[thing.kind].alive else "")
    low, high = inner.bounds()
    scale = 0.86 if made else 0.9 / float(high[0] - low[0])
    frame = Frame.at((0, 0.16 if made else 0.3, 0), scale=scale)  # the rig's waist goes to the rim
    # What would stick out of the shell from inside stays in the egg.
    inner.parts = [part for part in inner.parts if not _through_shell(part, frame)]
    s.include(inner, frame)
    return s


def _through_shell(part: Part, frame: Frame) -> bool:
    balls = [(frame(center), radius * frame.scale) for center, radius in part.balls()]
    return any(np.linalg.norm(c * (1, 0.9, 1)) + r > 0.60 and c[1] - r < 0.0 for c, r in balls)


_PLACED = {"on": _on, "in": _in, "beside": _beside, "riding": _riding, "hatching from": _hatching}
