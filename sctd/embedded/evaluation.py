"""Evaluates whether the embedded prior follows prompts: the recogniser judges its samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from sctd.embedded.heads import shares_right
from sctd.embedded.recogniser import WEIGHTS, Recogniser, load_recogniser, recognise
from sctd.embedded.sample import sample_images
from sctd.embedded.subject import Asked
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import world_of


def evaluate_prior(
    n: int = 600,
    seed: int = 7,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    recogniser: Recogniser | None = None,
) -> tuple[dict[str, float], list[Asked], Tensor]:
    """Accuracies (0..1) of every head of the recogniser, the view's on kinds with a front; the prompts and
    the samples."""
    recogniser = recogniser or load_recogniser(folder / WEIGHTS.name)
    questions, prompts = recogniser.questions, world_of(folder).samples(n, seed)
    texts = [asked.text for asked in prompts]
    images = sample_images(texts, seed, guidance_scale=guidance_scale, folder=folder)
    answers = [verdict.answers for verdict in recognise(images, recogniser)]
    wanted: list[dict[str, Any]] = [questions.asked(asked.subject, asked.view) for asked in prompts]
    subjects = [asked.subject for asked in prompts]
    scores = {"samples": float(n), "guidance_scale": guidance_scale}
    return scores | shares_right(questions.heads, subjects, answers, wanted), prompts, images
