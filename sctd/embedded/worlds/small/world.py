"""The small world: 28 kinds in one of 12 colours and one of 4 patterns. The shipped weights know it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sctd.embedded.subject import Asked
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS
from sctd.embedded.world import World
from sctd.embedded.worlds.small import prompts
from sctd.embedded.worlds.small.words import SMALL, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sctd.cameras import Viewpoints


class SmallWorld(World):
    """Of ``words.py``, ``captions.py``, ``scenes.py`` and ``pictures.py``."""

    name = "small"
    text_length = 20

    def describe(self) -> str:
        return SMALL.describe()

    def contents(self) -> Mapping[str, Sequence[str]]:
        return {
            "kinds with a front": list(SMALL.kinds_with_front),
            "kinds that look alike all round": list(SMALL.kinds_without_front),
            "colours": list(SMALL.colors),
            "patterns": list(SMALL.patterns),
        }

    def check_prompt(self, prompt: str) -> Subject:
        return SMALL.check_prompt(prompt)

    def draw(self, rng: random.Random) -> Subject:
        tables = (SMALL.kinds, SMALL.colors, SMALL.patterns)
        return Subject(*(rng.choice(list(table)) for table in tables))

    def each_kind(self, rng: random.Random) -> Sequence[Subject]:
        return [Subject(kind, rng.choice(list(SMALL.colors))) for kind in SMALL.kinds]

    def evaluated(self) -> Sequence[Subject]:
        return prompts.evaluated()

    def tuning(self) -> Sequence[Subject]:
        return prompts.TUNING

    def caption(self, subject: Subject, rng: random.Random) -> str:
        from sctd.embedded.worlds.small.captions import base_caption

        return base_caption(subject, rng)

    def samples(self, n: int, seed: int) -> list[Asked]:
        """Every kind in turn, the rest at random; plain half of the time."""
        rng = random.Random(seed)
        kinds, views = list(SMALL.kinds), VIEW_NAMES
        asked = []
        for i in range(n):
            pattern = "plain" if rng.random() < 0.5 else rng.choice(list(SMALL.patterns))
            subject = Subject(kinds[i % len(kinds)], rng.choice(list(SMALL.colors)), pattern)
            view = views[(i // len(kinds)) % len(views)]
            asked.append(Asked(subject, view, f"{subject}, {VIEW_WORDS[view][0]}"))
        return asked

    def every_caption(self) -> Iterator[str]:
        from sctd.embedded.worlds.small.captions import every_caption

        return every_caption()

    def truth(self, subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
        from sctd.embedded.worlds.small.pictures import picture_of

        return picture_of(subject, cameras, size)

    def distance(self, subject: Subject, points: NDArray[Any]) -> NDArray[np.float32]:
        from sctd.embedded.worlds.small.scenes import scene_of

        return scene_of(subject.kind).distance(points)


WORLD = SmallWorld()
