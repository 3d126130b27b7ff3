"""Prompts of the embedded world for reported results, and those for tuning the settings.

Loads no torch.
"""

from __future__ import annotations

import random

from sctd.embedded.worlds.small.words import SMALL, Subject

TUNING = (
    Subject("mushroom", "red"),
    Subject("cactus", "green"),
    Subject("duck", "yellow"),
    Subject("car", "blue"),
    Subject("donut", "pink"),
    Subject("bear", "brown"),
)
"""Prompts for tuning settings; no result is reported on them."""


def drawn_subjects(n: int, seed: int = 2025) -> list[Subject]:
    """n subjects, half of kinds with a front, no kind twice before all were drawn, none of TUNING."""
    rng = random.Random(seed)
    halves = []
    for kinds in (list(SMALL.kinds_with_front), list(SMALL.kinds_without_front)):
        half: list[Subject] = []
        while len(half) < n // 2:
            for kind in rng.sample(kinds, len(kinds)):
                subject = Subject(kind, rng.choice(list(SMALL.colors)))
                if subject not in TUNING and subject not in half:
                    half.append(subject)
        halves.append(half[: n // 2])
    return [subject for pair in zip(*halves, strict=True) for subject in pair]
