"""Random subjects of the rich world: those to learn from, and those that results are reported on.

What a prompt of Table 1 asks of a kind (a hat on a corgi, a blue lobster, a panda in a boat) is never drawn
together with that kind, in this wording or another: corgis are drawn, and top hats, but no corgi in a top
hat. So these prompts measure composition. Prompts that name a kind alone (a typewriter, a red panda) hold
nothing out: they measure the kind. Nor does training draw what shows the same as a subject of ``evaluated``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from sctd.embedded.worlds.rich import phrases
from sctd.embedded.worlds.rich.figures import COSTUMES
from sctd.embedded.worlds.rich.grammar import check_prompt
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.materials import STYLES
from sctd.embedded.worlds.rich.props import HELD
from sctd.embedded.worlds.rich.subjects import Subject, Thing, Worn
from sctd.embedded.worlds.rich.table1 import PROMPTS

ALIVE = tuple(name for name, kind in KINDS.items() if kind.alive)
STILL = tuple(name for name, kind in KINDS.items() if not kind.alive)
HANDS = tuple(name for name in HELD if name != "oars")
_RIDES = tuple(name for name, kind in KINDS.items() if kind.seat is not None and name != "egg")
_TOPS = tuple(name for name, kind in KINDS.items() if kind.top is not None)
EVALUATED = 48
Trait = tuple[str, str, str]
"""A kind, what is asked of it, and the name of that."""


def held_out(subject: Subject) -> bool:
    """Whether the subject shows a combination of Table 1; training never draws one."""
    return not _combinations().isdisjoint(_traits(subject, shown=True))


@cache
def _combinations() -> frozenset[Trait]:
    return frozenset(trait for prompt in PROMPTS for trait in _traits(check_prompt(prompt), shown=False))


def _traits(subject: Subject, *, shown: bool) -> Iterator[Trait]:
    """What is asked of each kind; ``shown``: usual colours count as well, since they are seen."""
    for thing in (subject.thing, subject.other):
        if thing is not None:
            yield from ((thing.kind, what, name) for what, name in said_of(thing, shown=shown) if name)
    if subject.other is not None:
        yield (subject.thing.kind, "together with", subject.other.kind)


def said_of(thing: Thing, *, shown: bool = False) -> Iterator[tuple[str, str]]:
    """What is said of a thing, (what, its name or ""); a costume counts as its garments and its prop.

    Args:
        shown: usual colours count as well, since they are seen.
    """
    yield "color", thing.shown_color if shown else thing.color
    yield "style", thing.style
    yield "pose", thing.pose
    garments, held = COSTUMES.get(thing.costume, ((), ""))
    for name in (*garments, *(worn.name for worn in thing.wears)):
        yield "wears", name
    yield "holds", thing.holds.name if thing.holds else held


def draw(rng: random.Random) -> Subject:
    """A random subject to learn from: neither held out nor among the evaluated."""
    known = _looks()
    while True:
        subject = _allowed(rng)
        if look(subject) not in known:
            return subject


@cache
def evaluated() -> tuple[Subject, ...]:
    """EVALUATED subjects in light that results are reported on: no kind twice, something said of each.

    Training never draws what looks like one of them.
    """
    rng, found = random.Random(2025), dict[str, Subject]()
    while len(found) < EVALUATED:
        subject = replace(_allowed(rng), map="")
        if subject != Subject(Thing(subject.kind)):
            found.setdefault(subject.kind, subject)
    return tuple(found.values())


def look(subject: Subject) -> Subject:
    """The subject in light with usual colours named: two that show the same are equal then."""
    things = [t and replace(t, color=t.shown_color) for t in (subject.thing, subject.other)]
    assert things[0] is not None
    return replace(subject, thing=things[0], other=things[1], map="")


@cache
def _looks() -> frozenset[Subject]:
    return frozenset(look(subject) for subject in evaluated())


def _allowed(rng: random.Random) -> Subject:
    while True:
        subject = _any(rng)
        red_pandas = any(t and (t.kind, t.color) == ("panda", "red") for t in (subject.thing, subject.other))
        if (
            not held_out(subject) and not red_pandas
        ):  # a panda that is red cannot be said: it is another animal
            return subject


def _any(rng: random.Random) -> Subject:
    thing = _thing(rng, rng.choice(ALIVE if rng.random() < 0.55 else STILL))
    relation, other = "", None
    if rng.random() < 0.22:
        thing, relation, other = _together(rng, thing)
    elif rng.random() < 0.05 and thing.kind not in ("tacos", "eyeglasses", "headphones"):
        thing = Thing(thing.kind, thing.color, thing.style, thing.costume, thing.wears, count=2)
    return Subject(thing, relation, other, rng.choices(("", "normal", "albedo"), (0.88, 0.06, 0.06))[0])


def _together(rng: random.Random, thing: Thing) -> tuple[Thing, str, Thing]:
    alive = KINDS[thing.kind].alive
    relation = rng.choice(("on", "beside", "riding", "in", "hatching from") if alive else ("on", "beside"))
    places = {"on": _TOPS, "riding": _RIDES, "in": ("boat",), "hatching from": ("egg",)}
    other = Thing(
        rng.choice(places.get(relation, tuple(KINDS))), color=_color(rng, 0.4), style=_style(rng, 0.2)
    )
    if relation != "beside" and thing.holds is not None:  # hands are for the ride
        thing = Thing(thing.kind, thing.color, thing.style, wears=thing.wears)
    if relation in ("riding", "in", "hatching from"):
        thing = Thing(thing.kind, thing.color, thing.style, wears=thing.wears)
    return thing, relation, other


def _color(rng: random.Random, share: float) -> str:
    return rng.choice(list(phrases.COLORS)) if rng.random() < share else ""


def _style(rng: random.Random, share: float) -> str:
    return rng.choice(STYLES) if rng.random() < share else ""


def _thing(rng: random.Random, kind: str) -> Thing:
    color, style = _color(rng, 0.45), _style(rng, 0.25)
    if not KINDS[kind].alive:
        return Thing(kind, color, style)
    what = rng.random()
    if what < 0.15:
        return Thing(kind, color, style, costume=rng.choice(list(COSTUMES)))
    if what < 0.45:
        names = rng.sample(list(phrases.WEARS), rng.choice((1, 1, 2)))
        wears = tuple(Worn(name, _color(rng, 0.4)) for name in names)
        return Thing(kind, color, style, wears=wears, pose=rng.choice(("", "", "dancing", "waving")))
    if what < 0.65:
        name = rng.choice(HANDS)
        return Thing(
            kind, color, style, holds=Worn(name, _color(rng, 0.2) if name not in ("skis", "wand") else "")
        )
    return Thing(kind, color, style, pose=rng.choice(("", "", "sitting", "standing", "dancing", "waving")))
