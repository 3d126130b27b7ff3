"""Subjects of the small world for reported results, and those for tuning the settings.

Loads no torch.
"""

from __future__ import annotations

import random
from functools import cache

from sctd.embedded.worlds.small.words import SMALL, Subject

EVALUATED = 24
TUNING = (
    Subject("mushroom", "red"),
    Subject("cactus", "green"),
    Subject("duck", "yellow"),
    Subject("car", "blue"),
    Subject("donut", "pink"),
    Subject("bear", "brown"),
)
"""Subjects that settings are chosen on; no result is reported on them. Training draws them too."""


@cache
def evaluated() -> tuple[Subject, ...]:
    """EVALUATED subjects, every other of a kind with a front, no kind twice, none of TUNING."""
    rng = random.Random(2025)
    halves = []
    for kinds in (list(SMALL.kinds_with_front), list(SMALL.kinds_without_front)):
        half: list[Subject] = []
        for kind in rng.sample(kinds, len(kinds)):
            subject = Subject(kind, rng.choice(list(SMALL.colors)))
            if subject not in TUNING:
                half.append(subject)
        halves.append(half[: EVALUATED // 2])
    return tuple(subject for pair in zip(*halves, strict=True) for subject in pair)
