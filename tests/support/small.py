"""A run small enough for a test: a prior with a closed form, 16 x 16 pictures, a few dozen Gaussians.

Run as a script it is the child process of the kill tests: small.py OUT ITERATIONS [--resume] [key=value ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from sctd.config import Config, load_config
from sctd.pipeline import RunResult, generate
from sctd.prior.analytic import AnalyticPrior
from sctd.run.report import Silent

PROMPT = "a red ball"

# Every part of the trainer is active: scale noise, regularisers, growth, relocation, both kinds of latents.
SMALL = (
    "cameras.size=16",
    "cameras.batch=2",
    "gaussians.count=40",
    "gaussians.scale_noise_probability=0.5",
    "sctd.as_latent=0.2",
    "regularisers.tv_rgb=0.1",
    "regularisers.scale=0.01",
    "densify.every=4",
    "densify.start=4",
    "densify.rest=0",
    "densify.growth=0.05",
    "densify.dead_opacity=0.09",
    "densify.position_noise=1.0",
    "output.checkpoint_every=5",
    "output.size=32",
    "output.turntable_frames=0",
    "output.contact_views=2",
)

ORIGINAL = (
    "densify.strategy=original",
    "densify.grad_threshold=1.0e-3",
    "densify.dead_opacity=0.01",
    "densify.max_count=100",
    "densify.reset_every=6",
)


def small_prior() -> AnalyticPrior:
    """Three random pictures of 4 x 4 latents."""
    means = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = {"red": [0, 1], "ball": [0]}
    return AnalyticPrior(means, torch.full((3,), 0.3), torch.ones(3), labels)


def small_config(iterations: int, *overrides: str, seed: int = 7) -> Config:
    """The settings of SMALL and then some."""
    return load_config(prompt=PROMPT, seed=seed, iterations=iterations, overrides=(*SMALL, *overrides))


def small_run(
    out: Path,
    iterations: int,
    *overrides: str,
    resume: bool = False,
    report: Silent | None = None,
    seed: int = 7,
) -> RunResult:
    """A whole run into a folder."""
    config = small_config(iterations, *overrides, seed=seed)
    return generate(config, out, resume=resume, report=report, prior=small_prior())


class Slow(Silent):
    """Prints each iteration and runs slowly, so that a parent process can time a kill."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """One line an iteration."""
        print(iteration, flush=True)
        time.sleep(0.01)


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--resume"]
    small_run(
        Path(arguments[0]), int(arguments[1]), *arguments[2:], resume="--resume" in sys.argv, report=Slow()
    )
