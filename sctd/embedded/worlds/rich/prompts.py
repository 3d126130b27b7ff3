"""Subjects of the rich world for tuning the settings, and the order of those for reported results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import zip_longest

from sctd.embedded.worlds.rich import draw
from sctd.embedded.worlds.rich.grammar import check_prompt
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject

TUNING = (
    "a blue car",
    "a red mushroom",
    "a cat wearing a crown",
    "a wooden chair",
    "a dancing robot",
    "a yellow duck",
    "a rabbit riding a motorcycle",
    "a striped mug",
)
"""Prompts that settings are chosen on: neither evaluated nor held out for Table 1, and no result is reported
on them. Training draws what looks like them too."""


def tuning() -> tuple[Subject, ...]:
    """The subjects of TUNING."""
    return tuple(check_prompt(prompt) for prompt in TUNING)


@cache
def evaluated() -> tuple[Subject, ...]:
    """Those of draw.evaluated: living and still in turn; of the still ones with a front and without in turn,
    while there are both."""
    still = [subject for subject in draw.evaluated() if not KINDS[subject.kind].alive]
    living = [subject for subject in draw.evaluated() if subject not in still]
    fronted = [subject for subject in still if subject.has_front]
    alike = [subject for subject in still if subject not in fronted]
    return tuple(_in_turn(living, _in_turn(fronted, alike)))


def _in_turn(*groups: Iterable[Subject]) -> Iterator[Subject]:
    for row in zip_longest(*groups):
        yield from (subject for subject in row if subject is not None)
