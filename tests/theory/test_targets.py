"""S-(3), section B: the noise that leads from z_t to z_e exactly depends on e.

It is the mean of eps along the trajectory, weighted by exp(-lambda) d lambda, from t to e: S-(2). A function
of t alone that is exact for one target is wrong for another.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from mixtures import ducks, exact, predict, ratio, separate, smooth, substeps
from torch import Tensor

from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import add_noise, phi

T, TARGETS = 640, (596, 404, 20)
both = pytest.mark.parametrize("make", [smooth, separate])


def mean_noise(prior: AnalyticPrior, z_t: Tensor, e: int) -> Tensor:
    """eps averaged from t to e, out of the integrator: S-(2) solved for it."""
    end = exact(prior, z_t, T, ratio(prior, e), 2 * substeps(T, e))
    return (z_t / prior.traits.alphas_cumprod[T].sqrt() - end) / (ratio(prior, T) - ratio(prior, e))


def norm(z: Tensor) -> Tensor:
    return z.flatten(1).norm(dim=1)


def differences(prior: AnalyticPrior) -> list[float]:
    """|mean to a target - mean to the next farther one| over the mean's norm; mean over the latents."""
    z_t = add_noise(Schedule(prior.traits.alphas_cumprod), *ducks(prior), T)
    means = [mean_noise(prior, z_t, e) for e in TARGETS]
    return [float((norm(a - b) / norm(a)).mean()) for a, b in pairwise(means)]


def misses(prior: AnalyticPrior, own: int, other: int) -> list[float]:
    """How far one step to ``own`` ends from the exact z there, mean over the latents: with the mean to own,
    with that to the other target, and with eps(z_t, t, y) itself."""
    schedule = Schedule(prior.traits.alphas_cumprod)
    z_t = add_noise(schedule, *ducks(prior), T)
    end = exact(prior, z_t, T, ratio(prior, own), 2 * substeps(T, own)) * schedule.level(own).alpha
    noises = mean_noise(prior, z_t, own), mean_noise(prior, z_t, other), predict(prior, z_t, T)
    return [float(norm(phi(schedule, z_t, eps, T, own) - end).mean()) for eps in noises]


@both
def test_two_targets_ask_for_two_noises(make: Callable[[], AnalyticPrior]) -> None:
    assert min(differences(make())) > 0.02


@both
def test_the_noise_of_one_target_misses_the_other(make: Callable[[], AnalyticPrior]) -> None:
    for own, other in (TARGETS[::2], TARGETS[::-2]):
        hit, miss, _ = misses(make(), own, other)
        assert hit < 1e-12
        assert miss > 0.05


@both
def test_the_mean_noise_tends_to_eps_where_the_target_is_near(make: Callable[[], AnalyticPrior]) -> None:
    """So eps(z_t, t, y) itself, which knows no target, is right for e = t alone."""
    prior = make()
    z_t = add_noise(Schedule(prior.traits.alphas_cumprod), *ducks(prior), T)
    off = [norm(mean_noise(prior, z_t, T - d) - predict(prior, z_t, T)).max() for d in (32, 16, 8)]
    assert off[0] > 1.9 * off[1] > 3.6 * off[2]


@both
def test_the_boundary(make: Callable[[], AnalyticPrior]) -> None:
    """S-(13): to where one is no step leads anywhere else."""
    prior = make()
    schedule = Schedule(prior.traits.alphas_cumprod)
    for e in (20, 212, 404, 596, 788, 980):
        z = add_noise(schedule, *ducks(prior), e)
        assert (phi(schedule, z, predict(prior, z, e), e, e) - z).abs().max() < 1e-13
