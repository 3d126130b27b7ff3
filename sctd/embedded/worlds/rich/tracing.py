"""How the rich world is traced for training: finished pictures of drawn subjects, and maps of some of them.

The tracer mixes patterns and materials where parts melt, so a view keeps its colours; only the background is
drawn when the view is used.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.embedded.pictures import random_backgrounds
from sctd.embedded.poses import Poses, training_poses
from sctd.embedded.traced import CPU, Maps, Pictures, TracedViews, Tracing, cut, in_memory
from sctd.embedded.worlds.rich.draw import draw
from sctd.embedded.worlds.rich.pictures import over, seen_as, traced
from sctd.embedded.worlds.rich.subjects import MAPS, Subject


@dataclass(frozen=True)
class RichViews(TracedViews):
    """Traced views as uint8 [n, 4, size, size]: what is seen times coverage, RGB, then coverage."""

    maps: Maps
    subjects: Sequence[Subject]
    poses: Poses

    def __len__(self) -> int:
        return len(self.maps)

    def on(self, device: torch.device) -> RichViews:
        return RichViews(in_memory(self.maps, device), self.subjects, self.poses)

    def draw(
        self, n: int, generator: torch.Generator, crop: int | None = None, device: torch.device = CPU
    ) -> Pictures:
        index = torch.randint(len(self), (n,), generator=generator)
        maps = cut(self.maps[index], crop, generator).to(device).float() / 255
        grey = random_backgrounds(n, generator)
        images = over(maps[:, :3], maps[:, 3:], grey.to(device))
        return Pictures(images, self.poses[index].over(grey), [self.subjects[i] for i in index.tolist()])


@dataclass(frozen=True)
class RichTracing(Tracing):
    """Blocks of drawn subjects, some views of each; then the normals and the albedo of the first ones."""

    subjects: int = 64
    group: int = 4
    """Views of a subject, one after the other."""
    mapped: int = 4
    """Subjects whose views are kept as normal and albedo maps too."""

    @property
    def rows(self) -> int:
        return self._lit + 2 * self.mapped * self.group

    @property
    def _lit(self) -> int:
        return self.subjects * self.group

    @cached_property
    def facts(self) -> dict[str, Any]:
        drawn = repr(RichTracing().drawn(0, 0))  # tells whether blocks mean what this code draws
        return {
            "world": Subject.world,
            "channels": ["r", "g", "b", "coverage"],
            **asdict(self),
            "draws": hashlib.sha256(drawn.encode()).hexdigest()[:16],
        }

    def drawn(self, seed: int, number: int) -> list[Subject]:
        """The subjects of a block, in light."""
        rng = random.Random(f"{seed} {number}")
        return [replace(draw(rng), map="") for _ in range(self.subjects)]

    def block(self, seed: int, number: int, size: int) -> NDArray[np.uint8]:
        poses = training_poses(seed, number, self._lit)
        views: dict[str, list[Tensor]] = {name: [] for name in MAPS}
        for i, subject in enumerate(self.drawn(seed, number)):
            own = torch.arange(i * self.group, (i + 1) * self.group)
            maps = traced(subject, poses[own], size)
            for name in MAPS if i < self.mapped else ("",):
                views[name].append(torch.cat((seen_as(name, maps), maps[:, 9:]), dim=1))
        rows = torch.cat([part for name in MAPS for part in views[name]])
        return (rows.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()

    def views(self, maps: Maps, seed: int, count: int) -> RichViews:
        subjects: list[Subject] = []
        poses: list[Poses] = []
        again = torch.arange(self.mapped * self.group)
        for number in range(count):
            lit = [subject for subject in self.drawn(seed, number) for _ in range(self.group)]
            subjects += lit
            subjects += [replace(lit[i], map=name) for name in MAPS[1:] for i in again.tolist()]
            own = training_poses(seed, number, self._lit)
            poses += [own, own[again], own[again]]
        return RichViews(maps, subjects, Poses.join(poses))


TRACING = RichTracing()
