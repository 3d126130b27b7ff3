"""Evaluates whether the embedded prior follows prompts: the recogniser judges its samples."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from sctd.embedded.recogniser import Recogniser, recognise
from sctd.embedded.sample import sample_images
from sctd.embedded.weights import FOLDER
from sctd.embedded.words import SMALL, VIEW_WORDS, Subject


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


def evaluate_prior(
    n: int = 600,
    seed: int = 7,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    recogniser: Recogniser | None = None,
) -> tuple[dict[str, float], list[tuple[Subject, str, str]], Tensor]:
    """Accuracies (0..1) of kind, colour, pattern and, on kinds with a front, view; the prompts and the
    samples."""
    prompts = drawn_prompts(n, seed)
    images = sample_images([text for *_, text in prompts], seed, guidance_scale=guidance_scale, folder=folder)
    verdicts = recognise(images, recogniser)
    pairs = list(zip(prompts, verdicts, strict=True))

    def share(right: Callable[[int], bool], among: list[int]) -> float:
        return sum(right(i) for i in among) / max(1, len(among))

    everything = list(range(n))
    fronted = [i for i in everything if prompts[i][0].kind in SMALL.kinds_with_front]
    scores = {
        "samples": float(n),
        "guidance_scale": guidance_scale,
        "kind": share(lambda i: pairs[i][0][0].kind == pairs[i][1].kind, everything),
        "color": share(lambda i: pairs[i][0][0].color == pairs[i][1].color, everything),
        "pattern": share(lambda i: pairs[i][0][0].pattern == pairs[i][1].pattern, everything),
        "view": share(lambda i: pairs[i][0][1] == pairs[i][1].view, fronted),
    }
    return scores, prompts, images
