"""Draws of timesteps: the draws and warm-ups that the methods share, and SCTD's own."""

from __future__ import annotations

import bisect
from typing import NamedTuple

import torch

from sctd.config.sctd import SctdSettings, segment_edges


class Timesteps(NamedTuple):
    """The timesteps of one iteration: e < s < t; e is the lower edge of the segment that holds t."""

    t: int
    s: int
    e: int


def warmup_rate(iteration: int, iterations: int, warmup: float) -> float:
    """1 at the run's start, falling linearly to 0 at ``warmup * iterations``, then 0."""
    length = warmup * iterations
    return 1 - min(iteration / length, 1.0) if length > 0 else 0.0


def window(settings: SctdSettings, rate: float) -> tuple[int, int]:
    """The half-open range [low, high) of t, given the warm-up rate; released: [20, 500) + 480 r."""
    shift = int((settings.t_max - settings.t_min - settings.t_span) * rate)
    low = settings.t_min + (shift if settings.warmup_lower_bound else 0)
    return low, settings.t_min + settings.t_span + shift


class TimestepSampler:
    """Draws (t, s, e) for an iteration; one draw serves the whole batch of cameras."""

    def __init__(self, settings: SctdSettings, iterations: int) -> None:
        self._settings = settings
        self._iterations = iterations
        self.edges = segment_edges(settings)

    def draw(self, iteration: int, generator: torch.Generator) -> Timesteps:
        """The timesteps of an iteration.

        released: t from the window, e the largest edge <= t, t raised to at least e + delta_t. The raise
        sends about half of the late draws to exactly e + delta_t.
        uniform_in_segment: the same draw picks the segment, then t is uniform in [e + delta_t, next edge].
        Then s is uniform in [e + s_margin, t - s_margin).

        Source: released code; the second rule is ours.
        """
        rule = self._settings
        rate = warmup_rate(iteration, self._iterations, rule.warmup)
        t = randint(*window(rule, rate), generator)
        m = bisect.bisect_right(self.edges, t) - 1
        e = self.edges[m]
        if rule.timestep_sampling == "released":
            t = max(t, e + rule.delta_t)
        else:
            t = randint(e + rule.delta_t, self.edges[m + 1] + 1, generator)
        s = randint(e + rule.s_margin, t - rule.s_margin, generator)
        return Timesteps(t, s, e)


def randint(low: int, high: int, generator: torch.Generator) -> int:
    """Uniform over the integers low..high - 1."""
    return int(torch.randint(low, high, (1,), generator=generator).item())
