"""One first-order step for G_m, as the method takes it: how its error falls with the segments' length."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from mixtures import ducks, errors, exact, predict, ratio, separate, smooth

from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import add_noise, phi

COUNTS = (1, 2, 4, 8, 16)


def worst(prior: AnalyticPrior, edges: list[int], schedule: Schedule | None = None) -> float:
    """sup over segments, over four t in each and over latents of |G_m(z_t, t, y) - exact solution at s_m|."""
    schedule = schedule or Schedule(prior.traits.alphas_cumprod)
    z0, noise = ducks(prior)
    found = []
    for e, following in pairwise(edges):
        for quarter in (1, 2, 3, 4):
            t = e + (following - e) * quarter // 4
            found.append(errors(prior, schedule, add_noise(schedule, z0, noise, t), t, e).max().item())
    return max(found)


def segments(low: int, high: int, count: int) -> list[int]:
    return [low + (high - low) * m // count for m in range(count + 1)]


def slopes(values: list[float]) -> list[float]:
    """Exponents between neighbours whose argument halves."""
    return [math.log2(a / b) for a, b in pairwise(values)]


# Where t is small sigma grows like sqrt(t), and where components part eps turns within few timesteps: there
# the square law sets in only for narrower segments, and a bounded eps alone gives order 1. The numbers:
# docs/algorithm.md, section 9.
@pytest.mark.parametrize(
    ("make", "low", "least"),
    [(smooth, 212, 1.8), (smooth, 20, 1.6), (separate, 212, 1.0), (separate, 20, 1.0)],
)
def test_error_falls_with_the_number_of_segments(make, low, least):
    found = [worst(make(), segments(low, 980, count)) for count in COUNTS]
    assert found == sorted(found, reverse=True)
    assert least < slopes(found)[-1] < 2.1, (found, slopes(found))


@pytest.mark.parametrize("make", [smooth, separate])
@pytest.mark.parametrize("e", [212, 404, 596, 788])
def test_the_law_is_the_square_of_the_length(make, e):
    """O(dt) (s_{m+1} - s_m) in the limit: half as long, a quarter. What is off falls with the length too."""
    found = slopes([worst(make(), [e, e + width]) for width in (32, 16, 8, 4)])
    off = [abs(slope - 2) for slope in found]
    assert off == sorted(off, reverse=True), found
    assert off[-1] < 0.1, found


@pytest.mark.parametrize("level", ["alpha", "sigma"])
def test_a_thousandth_in_a_level_breaks_the_law(level):
    prior = smooth()
    wrong = Schedule(prior.traits.alphas_cumprod)
    getattr(wrong, f"_{level}")[404] *= 1.001
    found = [worst(prior, [404, 404 + width], wrong) for width in (32, 16, 8)]
    assert slopes(found)[-1] < 1


def in_a_row(prior: AnalyticPrior, counts: tuple[int, ...]) -> list[float]:
    """From t_max to t_min by one G_m a segment: the largest error at the end, for each number of segments."""
    schedule = Schedule(prior.traits.alphas_cumprod)
    start = add_noise(schedule, *ducks(prior), 980)
    solution = exact(prior, start, 980, ratio(prior, 20), 240) * prior.traits.alphas_cumprod[20].sqrt()
    found = []
    for count in counts:
        z = start
        for t, e in pairwise(reversed(segments(20, 980, count))):
            z = phi(schedule, z, predict(prior, z, t), t, e)
        found.append((z - solution).flatten(1).norm(dim=1).max().item())
    return found


@pytest.mark.parametrize("make", [smooth, separate])
def test_segments_in_a_row_are_of_first_order(make):
    """N_s errors of order 1 / N_s^2 add up to order 1 / N_s."""
    found = in_a_row(make(), (8, 16, 32))
    assert slopes(found)[-1] == pytest.approx(1, abs=0.1), (found, slopes(found))


@pytest.mark.parametrize("make", [smooth, separate])
def test_the_reference_is_of_fourth_order_and_fine_enough(make):
    """Halving its steps leaves a sixteenth of its error; at the density in use that is far below G_m's."""
    prior = make()
    schedule = Schedule(prior.traits.alphas_cumprod)
    start = add_noise(schedule, *ducks(prior), 980)
    best = exact(prior, start, 980, ratio(prior, 20), 1280)
    found = [
        (exact(prior, start, 980, ratio(prior, 20), steps) - best).abs().max().item()
        for steps in (80, 160, 320)
    ]
    assert 3.5 < slopes(found)[-1] < 4.6, (found, slopes(found))
    assert found[1] < 1e-4
