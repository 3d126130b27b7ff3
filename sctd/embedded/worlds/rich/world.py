"""The rich world: eighty kinds, dressed, posed, in many materials, one or two at a time.

No weights have been trained on it yet.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sctd.embedded.subject import Asked
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS
from sctd.embedded.world import World
from sctd.embedded.worlds.rich import captions, draw, grammar, phrases, prompts
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject, Thing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sctd.cameras import Viewpoints


class RichWorld(World):
    """Of ``grammar.py``, ``draw.py``, ``captions.py``, ``figures.py`` and ``pictures.py``."""

    name = "rich"
    text_length = 32

    def describe(self) -> str:
        return grammar.describe()

    def contents(self) -> Mapping[str, Sequence[str]]:
        still = [(name, kind.front) for name, kind in KINDS.items() if not kind.alive]
        return {
            "creatures and figures": draw.ALIVE,
            "things with a front": [name for name, front in still if front],
            "things that look alike all round": [name for name, front in still if not front],
            "colours": list(phrases.COLORS),
            "materials and styles": list(phrases.STYLES),
            "poses": list(phrases.POSES),
            "to wear": list(phrases.WEARS),
            "costumes": list(phrases.COSTUMES),
            "to hold": list(phrases.HOLDS),
            "two together": list(phrases.RELATIONS),
        }

    def check_prompt(self, prompt: str) -> Subject:
        return grammar.check_prompt(prompt)

    def draw(self, rng: random.Random) -> Subject:
        return draw.draw(rng)

    def each_kind(self, rng: random.Random) -> Sequence[Subject]:
        del rng
        return [Subject(Thing(kind)) for kind in KINDS]

    def evaluated(self) -> Sequence[Subject]:
        return prompts.evaluated()

    def tuning(self) -> Sequence[Subject]:
        return prompts.tuning()

    def caption(self, subject: Subject, rng: random.Random) -> str:
        return captions.caption(subject, rng)

    def samples(self, n: int, seed: int) -> list[Asked]:
        """Subjects in light, every view in turn."""
        rng, views = random.Random(seed), VIEW_NAMES
        asked = []
        for i in range(n):
            subject, view = replace(draw.draw(rng), map=""), views[i % len(views)]
            asked.append(Asked(subject, view, f"{subject}, {VIEW_WORDS[view][0]}"))
        return asked

    def every_caption(self) -> Iterator[str]:
        return captions.every_caption()

    def truth(self, subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
        from sctd.embedded.worlds.rich.pictures import picture_of

        return picture_of(subject, cameras, size)

    def distance(self, subject: Subject, points: NDArray[Any]) -> NDArray[np.float32]:
        from sctd.embedded.worlds.rich.figures import sculpture_of
        from sctd.embedded.worlds.rich.sculpture import distance

        return distance(sculpture_of(subject).fitted(), points)


WORLD = RichWorld()
