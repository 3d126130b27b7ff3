"""A world of one's own, small enough for tests of the training: a ball or a box in one of two colours.

It has all that sctd.embedded.world.World asks for, and no tracer: its pictures are circles and squares. The
ball is the same all round, the box has a dark back. ``monkeypatch.setitem(*ENTRY)`` makes it one of the
worlds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.captions import with_view
from sctd.embedded.data import open_views, trace_blocks
from sctd.embedded.heads import OneOf, Questions, view_asked
from sctd.embedded.poses import Poses, training_poses
from sctd.embedded.subject import Asked
from sctd.embedded.traced import Maps, TracedViews, Tracing
from sctd.embedded.training import Report
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS, not_known, refusal, split, take
from sctd.embedded.world import WORLDS, World
from sctd.embedded.worlds.rich.pictures import over
from sctd.embedded.worlds.rich.tracing import RichViews

KINDS = {"ball": ("ball", "sphere"), "box": ("box",)}
COLORS = {"red": ("red",), "blue": ("blue", "azure")}
RGB = {"red": (0.9, 0.1, 0.1), "blue": (0.1, 0.2, 0.9)}
RADIUS = 0.7


@dataclass(frozen=True)
class Subject:
    """A kind and a colour."""

    world: ClassVar[str] = "toy"
    kind: str
    color: str

    @property
    def has_front(self) -> bool:
        return self.kind == "box"

    def __str__(self) -> str:
        return f"a {self.color} {self.kind}"


def maps_of(subject: Subject, poses: Poses, size: int) -> Tensor:
    """What is seen times coverage, and coverage, [n, 4, size, size]."""
    half = RADIUS / poses.radius / torch.tan(poses.fovy / 2) * size / 2
    at = torch.arange(size) + 0.5 - size / 2
    away = torch.maximum(at.abs()[:, None], at.abs()) if subject.has_front else torch.hypot(at[:, None], at)
    cover = (half[:, None, None] - away + 0.5).clamp(0, 1)
    light = 0.6 + 0.4 * subject.has_front * torch.cos(poses.azimuth)[:, None, None].clamp(-1, 0)
    rgb = torch.tensor(RGB[subject.color])[None, :, None, None] * light[:, None]
    return torch.cat((rgb * cover[:, None], cover[:, None]), dim=1)


@dataclass(frozen=True)
class ToyTracing(Tracing):
    """Blocks of a few views of every subject."""

    group: int = 2

    @property
    def subjects(self) -> list[Subject]:
        return [Subject(kind, color) for kind in KINDS for color in COLORS]

    @property
    def rows(self) -> int:
        return self.group * len(self.subjects)

    @property
    def facts(self) -> dict[str, Any]:
        return {"world": Subject.world, "group": self.group}

    def block(self, seed: int, number: int, size: int) -> NDArray[np.uint8]:
        poses = training_poses(seed, number, self.rows)
        own = torch.arange(self.rows).split(self.group)
        maps = [maps_of(subject, poses[i], size) for subject, i in zip(self.subjects, own, strict=True)]
        return (torch.cat(maps) * 255 + 0.5).to(torch.uint8).numpy()

    def views(self, maps: Maps, seed: int, count: int) -> TracedViews:
        poses = Poses.join([training_poses(seed, number, self.rows) for number in range(count)])
        return RichViews(maps, [s for s in self.subjects for _ in range(self.group)] * count, poses)


def toy_views(folder: Path, size: int, seed: int = 4) -> RichViews:
    """Two views of every subject, traced into a folder."""
    trace_blocks(ToyTracing(), folder, 1, seed, lambda line: None, size)
    views = open_views(ToyTracing(), folder)
    assert isinstance(views, RichViews)
    return views


class ToyQuestions(Questions):
    """Kind, colour and view, of 16 pixels."""

    widths: ClassVar = (8, 8)

    def __init__(self) -> None:
        self.heads = {"kind": OneOf(tuple(KINDS)), "color": OneOf(tuple(COLORS)), "view": OneOf(VIEW_NAMES)}

    def asked(self, subject: Subject, view: str) -> dict[str, Any]:
        return {"kind": subject.kind, "color": subject.color, "view": view_asked(subject, view)}

    def scenes(self, folder: Path, seed: int, share: float, report: Report) -> TracedViews:
        trace_blocks(ToyTracing(), folder, max(1, round(8 * share)), seed, report, self.size)
        return open_views(ToyTracing(), folder)


class ToyWorld(World):
    """Four subjects."""

    name = "toy"
    text_length = 20

    @property
    def tracing(self) -> ToyTracing:
        return ToyTracing()

    @property
    def questions(self) -> ToyQuestions:
        return ToyQuestions()

    def describe(self) -> str:
        return "it draws a ball or a box in red or blue"

    def contents(self) -> Mapping[str, Sequence[str]]:
        return {"kinds": list(KINDS), "colours": list(COLORS)}

    def check_prompt(self, prompt: str) -> Subject:
        words, _ = take(split(prompt), VIEW_WORDS)
        words, kinds = take(words, KINDS)
        words, colors = take(words, COLORS)
        unknown = [word for word in words if word not in ("a", "of")]
        if unknown or len(kinds) != 1 or len(colors) != 1:
            reason = not_known(unknown, (KINDS, COLORS)) if unknown else "it says a kind and a colour"
            raise refusal(reason, self.name, self.describe())
        return Subject(kinds[0], colors[0])

    def draw(self, rng: random.Random) -> Subject:
        return rng.choice(ToyTracing().subjects)

    def each_kind(self, rng: random.Random) -> Sequence[Subject]:
        return [Subject(kind, rng.choice(list(COLORS))) for kind in KINDS]

    def evaluated(self) -> Sequence[Subject]:
        return ToyTracing().subjects[1:]

    def tuning(self) -> Sequence[Subject]:
        return ToyTracing().subjects[:1]

    def caption(self, subject: Subject, rng: random.Random) -> str:
        return f"a {rng.choice(COLORS[subject.color])} {rng.choice(KINDS[subject.kind])}"

    def samples(self, n: int, seed: int) -> list[Asked]:
        rng, asked = random.Random(seed), []
        for i in range(n):
            subject, view = self.draw(rng), VIEW_NAMES[i % len(VIEW_NAMES)]
            asked.append(Asked(subject, view, f"{subject}, {VIEW_WORDS[view][0]}"))
        return asked

    def every_caption(self) -> Iterator[str]:
        rng = random.Random(0)
        for view in VIEW_WORDS:
            for _ in range(100):
                yield with_view(self.caption(self.draw(rng), rng), view, rng)
        for phrases in VIEW_WORDS.values():
            yield from (phrase for phrase in phrases for _ in range(50))

    def truth(self, subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
        poses = Poses(cameras.azimuth, cameras.elevation, cameras.radius, cameras.fovy)
        maps = maps_of(subject, poses, size)
        return over(maps[:, :3], maps[:, 3:], cameras.background), maps[:, 3]

    def distance(self, subject: Subject, points: NDArray[Any]) -> NDArray[np.float32]:
        raise NotImplementedError("its pictures are of no solid")


WORLD = ToyWorld()
ENTRY = (WORLDS, WORLD.name, __name__)
