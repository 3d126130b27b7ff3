"""Learning rates by iteration."""

from __future__ import annotations

import math

from sctd.config.asset import RateSettings


def learning_rate(rate: RateSettings, iteration: int, iterations: int) -> float:
    """The learning rate of a 0-based iteration: log-linear from start to end, with an optional damped start.

    The damping rises from ``delay_factor`` to 1 along a quarter sine over ``delay_steps``.

    Source: the schedule of Plenoxels (Fridovich-Keil et al. 2022), which 3D Gaussian Splatting took over.
    """
    end = rate.start if rate.end is None else rate.end
    progress = min(iteration / (rate.steps or iterations), 1.0)
    value = math.exp((1 - progress) * math.log(rate.start) + progress * math.log(end))
    if rate.delay_steps:
        risen = math.sin(0.5 * math.pi * min(iteration / rate.delay_steps, 1.0))
        value *= rate.delay_factor + (1 - rate.delay_factor) * risen
    return value
