"""Writes captions for subjects of the rich world; its grammar reads each of them back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from sctd.embedded.captions import with_view
from sctd.embedded.words import VIEW_WORDS, Table
from sctd.embedded.worlds.rich import phrases
from sctd.embedded.worlds.rich.draw import draw
from sctd.embedded.worlds.rich.subjects import Subject, Thing, Worn

_OPENINGS = (
    "",
    "",
    "",
    "a photo of",
    "a DSLR photo of",
    "a 3d model of",
    "a highly detailed",
    "a rendering of",
)
_PLURAL = ("tacos", "eyeglasses", "glasses", "spectacles", "headphones")
_RIDES = {"boat": "rowing", "biplane": "flying"}


class _Usual(random.Random):
    """Takes the usual one of all words."""

    def random(self) -> float:
        return 1.0

    def choice(self, seq: Any) -> Any:
        return seq[0]


def usual(subject: Subject) -> str:
    """The plainest caption of a subject."""
    return caption(subject, _Usual())


def caption(subject: Subject, rng: random.Random) -> str:
    """One caption of a subject, without a view."""
    text = _thing(subject.thing, rng)
    if subject.other is not None:
        how = subject.relation
        words = (
            _RIDES.get(subject.other.kind, how) if how == "riding" else rng.choice(phrases.RELATIONS[how][:1])
        )
        text += f" {words} {_thing(subject.other, rng)}"
    if subject.map:
        return f"{phrases.MAPS[subject.map][0]} {text}"
    opening = rng.choice(_OPENINGS)
    if opening.endswith("detailed"):
        return f"{opening} {text.split(' ', 1)[1]}" if text.startswith(("a ", "an ")) else text
    return f"{opening} {text}".strip()


def _one_of(rng: random.Random, table: Table, name: str) -> str:
    """A phrase for a name, mostly the usual one."""
    return rng.choice(table[name]) if rng.random() < 0.3 else table[name][0]


def _color(rng: random.Random, color: str) -> str:
    return f"{_one_of(rng, phrases.COLORS, color)} " if color else ""


def _thing(thing: Thing, rng: random.Random) -> str:
    noun = _one_of(rng, phrases.KINDS, thing.kind)
    if thing.count > 1:
        noun = phrases.KINDS[thing.kind][0]
        noun = phrases.PLURALS.get(noun, f"{noun}s")
    style = _one_of(rng, phrases.STYLES, thing.style) if thing.style else ""
    before, behind = "", ""
    if style.endswith(" of"):
        before = f"a {style} "
    elif style.startswith(("made", "with")):
        behind = f" {style}"
    elif style:
        noun = f"{style} {noun}"
    words = f"{_color(rng, thing.color)}{noun}"
    if thing.pose:
        words = f"{thing.pose} {words}"
    text = before + (f"two {words}" if thing.count > 1 else _with_article(words))
    return text + behind + _clauses(thing, rng)


def _clauses(thing: Thing, rng: random.Random) -> str:
    text = ""
    if thing.costume:
        text += f" dressed as a {thing.costume}"
    if thing.wears:
        text += f" {rng.choice(('wearing', 'with'))} " + " and ".join(
            _worn(worn, phrases.WEARS, rng) for worn in thing.wears
        )
    if thing.holds:
        name = thing.holds.name
        if name == "skis":
            text += " skiing"
        elif name == "wand":
            text += " casting a spell"
        else:
            verb = "playing" if name in ("tuba", "violin", "guitar") else "holding"
            text += f" {verb} {_worn(thing.holds, phrases.HOLDS, rng)}"
    return text


def _worn(worn: Worn, table: Table, rng: random.Random) -> str:
    words = f"{_color(rng, worn.color)}{_one_of(rng, table, worn.name)}"
    return _with_article(words)


def _with_article(words: str) -> str:
    if words.endswith(_PLURAL):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def every_caption() -> Iterator[str]:
    """Captions that hold every word of the world many times; the tokenizer is made from them."""
    rng, views = random.Random(0), list(VIEW_WORDS)
    for _ in range(20_000):
        yield with_view(caption(draw(rng), rng), rng.choice(views), rng)
    tables: tuple[Table, ...] = (
        *(phrases.KINDS, phrases.COLORS, phrases.STYLES, phrases.COSTUMES, phrases.WEARS, phrases.HOLDS),
        *(phrases.POSES, phrases.RELATIONS, phrases.MAPS, phrases.FILLERS, VIEW_WORDS),
    )
    for table in tables:
        for texts in table.values():
            yield from (text for text in texts for _ in range(50))
    more = (*phrases.PLURALS.values(), *phrases.SKIING, *phrases.SPELL, *phrases.BALLET, *phrases.HOLDING)
    yield from (text for text in more for _ in range(50))
