"""The number of iterations of a method that cost a given number of network evaluations.

This runs the method with a prior in closed form, which costs little, for iterations spread over the whole
run, and averages the ``evaluations`` that it logs.
"""

from __future__ import annotations

import torch

from sctd import methods
from sctd.cameras import sample_cameras
from sctd.config import Config
from sctd.errors import InputError
from sctd.prior.analytic import AnalyticPrior
from sctd.run.read_back import evaluations_of
from sctd.text import ViewTexts
from sctd.trainer import random_streams

SAMPLES = 200
"""Iterations for the mean, which for SCTD is then accurate to about half a percent."""
LATENT = (4, 4, 4)
LIMIT = 1_000_000  # of the setting `iterations`


def evaluations_per_step(config: Config, samples: int = SAMPLES) -> float:
    """Mean number of images that an iteration of the config sends through the network.

    Raises:
        InputError: the method is unknown, or does not log evaluations.
    """
    parts = config.parts()
    if len(parts) > 1:
        return (
            sum(part.iterations * evaluations_per_step(part, samples) for part in parts) / config.iterations
        )
    prior = AnalyticPrior(torch.zeros(1, *LATENT), torch.ones(1), torch.ones(1), {"": [0]})
    texts = ViewTexts.encode(prior, config.prompt, config.negative_prompt, config.views)
    make, settings = methods.get(config.method), config.rule
    method = make(prior, texts, settings, iterations=config.iterations, seed=config.seed)
    random = random_streams(config.seed)
    z0 = torch.zeros(config.cameras.batch, *LATENT)
    samples = min(samples, config.iterations)
    total = 0.0
    for k in range(samples):
        i = k * config.iterations // samples
        cameras = sample_cameras(config.cameras, i, random["cameras"])
        guidance = method(z0, cameras.over(torch.ones(len(cameras), 3)), i, random["method"])
        told = evaluations_of(guidance.numbers(), config)
        if told is None:
            raise InputError(
                f"method {config.method!r} does not log its network evaluations, so that no number of "
                "iterations follows from --evaluations; use --steps"
            )
        total += told
    return total / samples


def iterations_for(config: Config, evaluations: int) -> int:
    """Iterations of the config's method that cost about ``evaluations``, to the nearest iteration.

    Methods that draw timesteps of unequal costs meet it on average; the log has a run's actual number.

    Raises:
        InputError: see :func:`evaluations_per_step`; or there are too few for one iteration, or too many.
    """
    count = config.iterations
    for _ in range(3):  # warm-ups are shares of a run, so that the mean hardly depends on its length
        per_step = evaluations_per_step(config.model_copy(update={"iterations": count}))
        if evaluations < per_step:
            raise InputError(
                f"{evaluations} network evaluations are less than one iteration of {config.method} takes "
                f"({per_step:.0f}); give more"
            )
        count = round(evaluations / per_step)
        if count > LIMIT:
            raise InputError(
                f"{evaluations} network evaluations make more than {LIMIT} iterations of {config.method} "
                f"({per_step:.0f} each); give fewer"
            )
    return count
