"""Evaluates whether the embedded prior follows prompts: the recogniser judges its samples."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.pictures import FOV_DEG
from sctd.embedded.recogniser import Recogniser, recognise
from sctd.embedded.sample import GREY, RADIUS, load_sampler, sample_images
from sctd.embedded.weights import FOLDER
from sctd.embedded.words import SMALL, VIEW_WORDS, Subject

_DIRECTIONS = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0), "overhead": (0.0, 75.0)}
"""Azimuth and elevation of a camera that sees what the word says, degrees."""


def cameras_of(views: list[str]) -> Viewpoints:
    """A camera for each name of a view."""
    turn, tilt = torch.deg2rad(torch.tensor([_DIRECTIONS[view] for view in views])).unbind(1)
    same = torch.ones(len(views))
    return Viewpoints(
        turn, tilt, RADIUS * same, math.radians(FOV_DEG) * same, (GREY * same)[:, None].expand(-1, 3)
    )


def drawn_prompts(n: int, seed: int) -> list[tuple[Subject, str, str]]:
    """n prompts (subject, view, text): every kind in turn, the rest at random; plain half of the time."""
    rng = random.Random(seed)
    kinds, views = list(SMALL.kinds), ("front", "side", "back", "overhead")
    prompts = []
    for i in range(n):
        pattern = "plain" if rng.random() < 0.5 else rng.choice(list(SMALL.patterns))
        subject = Subject(kinds[i % len(kinds)], rng.choice(list(SMALL.colors)), pattern)
        view = views[(i // len(kinds)) % len(views)]
        prompts.append((subject, view, f"{subject}, {VIEW_WORDS[view][0]}"))
    return prompts


def accuracies(
    prompts: list[tuple[Subject, str, str]], images: Tensor, recogniser: Recogniser | None
) -> dict[str, float]:
    """Shares, 0..1, of pictures recognised by kind, colour, pattern and, on kinds with a front, view."""
    pairs = list(zip(prompts, recognise(images, recogniser), strict=True))

    def share(right: Callable[[int], bool], among: list[int]) -> float:
        return sum(right(i) for i in among) / max(1, len(among))

    everything = list(range(len(pairs)))
    fronted = [i for i in everything if prompts[i][0].kind in SMALL.kinds_with_front]
    return {
        "kind": share(lambda i: pairs[i][0][0].kind == pairs[i][1].kind, everything),
        "color": share(lambda i: pairs[i][0][0].color == pairs[i][1].color, everything),
        "pattern": share(lambda i: pairs[i][0][0].pattern == pairs[i][1].pattern, everything),
        "view": share(lambda i: pairs[i][0][1] == pairs[i][1].view, fronted),
    }


def evaluate_prior(
    n: int = 600,
    seed: int = 7,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    recogniser: Recogniser | None = None,
) -> tuple[dict[str, float], list[tuple[Subject, str, str]], Tensor]:
    """Accuracies of samples whose view is said in words, those of samples from given cameras
    (``..._by_camera``), where the prior reads them; the prompts; and the last samples drawn."""
    prior, prompts = load_sampler(folder), drawn_prompts(n, seed)
    images = sample_images([text for *_, text in prompts], seed, guidance_scale=guidance_scale, prior=prior)
    scores = {"samples": float(n), "guidance_scale": guidance_scale}
    scores |= accuracies(prompts, images, recogniser)
    if prior.traits.reads_cameras:
        texts, seen = [str(subject) for subject, *_ in prompts], cameras_of([view for _, view, _ in prompts])
        images = sample_images(texts, seed, guidance_scale=guidance_scale, prior=prior, views=seen)
        told = accuracies(prompts, images, recogniser)
        scores |= {f"{name}_by_camera": value for name, value in told.items()}
    return scores, prompts, images
