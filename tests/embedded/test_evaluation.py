"""The evaluation of the embedded prior: what it asks for, and what it counts."""

from __future__ import annotations

import random
from collections.abc import Iterable

import torch

from sctd.embedded.captions import view_of
from sctd.embedded.evaluation import accuracies, cameras_of
from sctd.embedded.truth import truth_from
from sctd.embedded.world import world_named
from sctd.embedded.worlds.small.words import SMALL, Subject


def test_a_camera_sees_the_view_that_it_stands_for() -> None:
    names = ["front", "side", "back", "overhead"]
    cameras = cameras_of(names)
    seen = [view_of(float(a), float(e)) for a, e in zip(cameras.azimuth, cameras.elevation, strict=True)]
    assert [view.replace("left", "side") for view in seen] == names


def test_the_truth_is_recognised_and_another_prompts_truth_is_not() -> None:
    prompts = [item for item in world_named("small").samples(112, 3) if item[0].pattern == "plain"]
    random.Random(0).shuffle(prompts)
    prompts = prompts[:24]
    cameras = cameras_of([view for _, view, _ in prompts])
    pictures = [truth_from(subject, cameras[i : i + 1], 64)[0] for i, (subject, *_) in enumerate(prompts)]
    right = accuracies(prompts, torch.cat(pictures), None)
    assert min(right["kind"], right["color"]) >= 0.9
    wrong = [(Subject(_next(s.kind, SMALL.kinds), _next(s.color, SMALL.colors)), v, t) for s, v, t in prompts]
    told = accuracies(wrong, torch.cat(pictures), None)
    assert max(told["kind"], told["color"]) <= 0.1


def _next(name: str, names: Iterable[str]) -> str:
    """The one after a name."""
    every = list(names)
    return every[(every.index(name) + 1) % len(every)]
