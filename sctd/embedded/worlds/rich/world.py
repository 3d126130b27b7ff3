"""The rich world: eighty kinds, dressed, posed, in many materials, one or two at a time.

No weights have been trained on it yet.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sctd.embedded.subject import Asked
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS
from sctd.embedded.world import World
from sctd.embedded.worlds.rich import captions, draw, grammar
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject, Thing

if TYPE_CHECKING:
    from torch import Tensor

    from sctd.cameras import Viewpoints


class RichWorld(World):
    """Of ``grammar.py``, ``draw.py``, ``captions.py``, ``figures.py`` and ``pictures.py``."""

    name = "rich"
    text_length = 32

    def describe(self) -> str:
        return grammar.describe()

    def check_prompt(self, prompt: str) -> Subject:
        return grammar.check_prompt(prompt)

    def draw(self, rng: random.Random) -> Subject:
        return draw.draw(rng)

    def each_kind(self, rng: random.Random) -> Sequence[Subject]:
        del rng
        return [Subject(Thing(kind)) for kind in KINDS]

    def caption(self, subject: Subject, rng: random.Random) -> str:
        return captions.caption(subject, rng)

    def samples(self, n: int, seed: int) -> list[Asked]:
        """Subjects in light, every view in turn."""
        rng, views = random.Random(seed), VIEW_NAMES
        prompts = []
        for i in range(n):
            subject, view = replace(draw.draw(rng), map=""), views[i % len(views)]
            prompts.append(Asked(subject, view, f"{subject}, {VIEW_WORDS[view][0]}"))
        return prompts

    def every_caption(self) -> Iterator[str]:
        return captions.every_caption()

    def truth(self, subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
        from sctd.embedded.worlds.rich.pictures import picture_of

        return picture_of(subject, cameras, size)


WORLD = RichWorld()
