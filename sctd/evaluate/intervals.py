"""Means over prompts and seeds with 95% intervals: a two-stage bootstrap with a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
FEWEST = 5
"""Prompts below which no difference is reported: a bootstrap of two or three is far too narrow."""
DRAWS = 4000
"""The interval's ends are then known to about a twentieth of its width."""
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    mean: float
    low: float | None
    high: float | None
    """None where a single number gives no interval."""
    prompts: int
    values: int

    def text(self, digits: int = 3) -> str:
        """For a table's cell."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def sign(self) -> int | None:
        """1 or -1 where the whole interval lies above or below 0, else 0; None with fewer than FEWEST
        prompts."""
        if self.low is None or self.high is None or self.prompts < FEWEST:
            return None
        return int(self.low > 0) - int(self.high < 0)


def estimate(groups: Mapping[str, Sequence[float]]) -> Estimate:
    """The mean over prompts of the means over their seeds.

    The bootstrap resamples the prompts, then the seeds of each: results of one prompt are not independent,
    and readers want to conclude about new prompts. With one prompt the interval reflects only its seeds. The
    same numbers give the same interval.

    Args:
        groups: prompt => a number for each seed, at least one.
    """
    data = [np.asarray(values, dtype=np.float64) for values in groups.values()]
    mean = float(np.mean([values.mean() for values in data]))
    count = sum(len(values) for values in data)
    if count == 1:
        return Estimate(mean, None, None, 1, 1)
    random = np.random.default_rng(SEED)
    picked = random.integers(len(data), size=(DRAWS, len(data)))
    drawn = np.empty(picked.shape)
    for prompt, values in enumerate(data):
        here = picked == prompt
        again = random.integers(len(values), size=(int(here.sum()), len(values)))
        drawn[here] = values[again].mean(axis=1)
    low, high = np.quantile(drawn.mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(mean, float(low), float(high), len(data), count)
