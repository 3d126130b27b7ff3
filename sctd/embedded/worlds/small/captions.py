"""Captions of the small world, with synonyms and word orders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

from sctd.embedded.captions import with_view
from sctd.embedded.words import VIEW_WORDS
from sctd.embedded.worlds.small.words import SMALL, Subject

# {c} colour, {p} pattern as an adjective, {w} pattern as "with ...", {k} kind; empty ones close up.
_TEMPLATES = (
    "a {p} {c} {k} {w}",
    "a {c} {p} {k} {w}",
    "a {p} {c} {k} {w}",
    "{p} {c} {k} {w}",
    "the {c} {p} {k} {w}",
    "a photo of a {p} {c} {k} {w}",
    "a 3d model of a {p} {c} {k} {w}",
    "a rendering of a {c} {p} {k} {w}",
    "a {p} {k} {w} in {c}",
    "a {p} {k} {w} that is {c}",
)


def base_caption(subject: Subject, rng: random.Random) -> str:
    """One way to say a subject, without a view."""
    kinds, colors, patterns = (
        SMALL.kinds[subject.kind],
        SMALL.colors[subject.color],
        SMALL.patterns[subject.pattern],
    )
    kind = rng.choice(kinds) if rng.random() < 0.4 else subject.kind
    color = rng.choice(colors) if rng.random() < 0.3 else subject.color
    pattern = rng.choice(patterns) if rng.random() < 0.5 else patterns[0]
    with_pattern = pattern.startswith("with")
    text = rng.choice(_TEMPLATES if rng.random() < 0.6 else _TEMPLATES[:1]).format(
        c=color, p="" if with_pattern else pattern, w=pattern if with_pattern else "", k=kind
    )
    words = text.split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0] in "aeiou":
            words[i] = "an"
    return " ".join(words)


def every_caption() -> Iterator[str]:
    """A stream that holds every word of the world many times; what the tokenizer is made from."""
    rng = random.Random(0)
    for kind, color, pattern, view in product(SMALL.kinds, SMALL.colors, SMALL.patterns, VIEW_WORDS):
        yield with_view(base_caption(Subject(kind, color, pattern), rng), view, rng)
    for table in (SMALL.kinds, SMALL.colors, SMALL.patterns, VIEW_WORDS):
        for synonyms in table.values():
            yield from (phrase for phrase in synonyms for _ in range(50) if phrase)
