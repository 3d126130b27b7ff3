"""Evaluates whether the embedded prior follows prompts: the recogniser judges its samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.heads import shares_right
from sctd.embedded.pictures import FOV_DEG
from sctd.embedded.recogniser import Recogniser, load_recogniser, recognise
from sctd.embedded.sample import GREY, RADIUS, load_sampler, sample_images
from sctd.embedded.subject import Asked
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import world_of

_DIRECTIONS = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0), "overhead": (0.0, 75.0)}
"""Azimuth and elevation of a camera that sees what the word says, degrees."""


def cameras_of(views: list[str]) -> Viewpoints:
    """A camera for each name of a view."""
    turn, tilt = torch.deg2rad(torch.tensor([_DIRECTIONS[view] for view in views])).unbind(1)
    same = torch.ones(len(views))
    return Viewpoints(
        turn, tilt, RADIUS * same, math.radians(FOV_DEG) * same, (GREY * same)[:, None].expand(-1, 3)
    )


def accuracies(
    prompts: Sequence[tuple[Any, str, str]], images: Tensor, recogniser: Recogniser | None
) -> dict[str, float]:
    """Shares, 0..1, of pictures recognised, by head of the recogniser; the view on kinds with a front.

    Args:
        prompts: subject, view and text of each picture.
    """
    recogniser = recogniser or load_recogniser()
    questions = recogniser.questions
    answers = [verdict.answers for verdict in recognise(images, recogniser)]
    wanted = [questions.asked(subject, view) for subject, view, _ in prompts]
    return shares_right(questions.heads, [subject for subject, *_ in prompts], answers, wanted)


def evaluate_prior(
    n: int = 600,
    seed: int = 7,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    recogniser: Recogniser | None = None,
) -> tuple[dict[str, float], list[Asked], Tensor]:
    """Accuracies of samples whose view is said in words, those of samples from given cameras
    (``..._by_camera``), where the prior reads them; the prompts; and the last samples drawn."""
    recogniser = recogniser or load_recogniser(folder)
    prior, prompts = load_sampler(folder), world_of(folder).samples(n, seed)
    images = sample_images([text for *_, text in prompts], seed, guidance_scale=guidance_scale, prior=prior)
    scores = {"samples": float(n), "guidance_scale": guidance_scale}
    scores |= accuracies(prompts, images, recogniser)
    if prior.traits.reads_cameras:
        texts, seen = [str(subject) for subject, *_ in prompts], cameras_of([view for _, view, _ in prompts])
        images = sample_images(texts, seed, guidance_scale=guidance_scale, prior=prior, views=seen)
        told = accuracies(prompts, images, recogniser)
        scores |= {f"{name}_by_camera": value for name, value in told.items()}
    return scores, prompts, images
