"""S-(4), S-(6), S-(7) and S-(8) hold to rounding, and each notices a thousandth in any coefficient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from mixtures import TEXT, ducks, predict, separate
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.config.sctd import SctdSettings
from sctd.config.views import ViewSettings
from sctd.methods.sctd import Sctd
from sctd.methods.timesteps import Timesteps
from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import add_noise, phi
from sctd.text import ViewTexts

T, S, E, W = 640, 450, 404, 7.5
ROUNDING = 1e-11  # double: 1e-16 times the ratios of alphas and w + 1, over a dozen operations
PLANTED = 1.001
SEEN = 1e-5  # a thousandth of a term that is at least a hundredth of the whole
Plants = dict[str, Any]


class Levels(Schedule):
    """A schedule with one level off by a thousandth, as the steps read it."""

    def __init__(self, prior: AnalyticPrior, wrong: tuple[str, int] | None) -> None:
        super().__init__(prior.traits.alphas_cumprod)
        if wrong is not None:
            name, t = wrong
            getattr(self, f"_{name}")[t] *= PLANTED


class Numbers:
    """The identities' own coefficients, written from the noise levels alone."""

    def __init__(self, prior: AnalyticPrior) -> None:
        self.prior = prior
        self.alpha, self.sigma = prior.traits.alphas_cumprod.sqrt(), (1 - prior.traits.alphas_cumprod).sqrt()
        # alpha_e times the integral of exp(-lambda) from lambda_t to lambda_e, the larger of the two
        self.integral = self.alpha[E] * (self.sigma[T] / self.alpha[T] - self.sigma[E] / self.alpha[E])

    def mix(self, z0: Tensor, noise: Tensor, t: int) -> Tensor:
        return self.alpha[t] * z0 + self.sigma[t] * noise

    def step(self, z: Tensor, eps: Tensor, a: int, b: int) -> Tensor:
        return self.mix((z - self.sigma[a] * eps) / self.alpha[a], eps, b)


def off(got: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value."""
    return float((got - expected).abs().max() / expected.abs().max())


def identity_4(prior: AnalyticPrior, level: tuple[str, int] | None = None) -> float:
    """eps(z_t, t, y) = (alpha_e/alpha_t z_t - G_m) / (alpha_e integral); S prints the other sign."""
    n, (z0, noise) = Numbers(prior), ducks(prior)
    z_t = n.mix(z0, noise, T)
    eps = predict(prior, z_t, T)
    g = phi(Levels(prior, level), z_t, eps, T, E)
    return off((n.alpha[E] / n.alpha[T] * z_t - g) / n.integral, eps)


def identity_7(prior: AnalyticPrior, level: tuple[str, int] | None = None) -> float:
    """alpha_e/alpha_t z_t - alpha_e (integral) eps = alpha_e z0 + sigma_e eps, in both directions of time."""
    n, (z0, noise) = Numbers(prior), ducks(prior)
    levels = Levels(prior, level)
    down = phi(levels, n.mix(z0, noise, T), noise, T, E)
    up = phi(levels, n.mix(z0, noise, E), noise, E, T)
    made = add_noise(levels, z0, noise, E)
    return max(off(z, n.mix(z0, noise, t)) for z, t in ((down, E), (up, T), (made, E)))


def sctd(prior: AnalyticPrior, **settings: Any) -> Sctd:
    """The method itself, set to the supplement's form: exact G_m(z_t, t, ''), no guidance inside."""
    rule = {"guidance_scale": W, "exact_null": True, "guided_condition": False}
    rule |= {"weighting": "one", "guidance_weight": 1.0, **settings}
    texts = ViewTexts.encode(prior, TEXT, "", ViewSettings(enabled=False))
    return Sctd(prior, texts, SctdSettings(**rule), iterations=100, seed=0)


def gradient(method: Sctd, z0: Tensor, noise: Tensor) -> Tensor:
    level = torch.zeros(len(z0))
    views = Viewpoints(level, level, level + 3.3, level + 0.7, torch.ones(len(z0), 3))
    return method.residual(z0, noise, views, Timesteps(T, S, E)).grad


def inverted(prior: AnalyticPrior, z0: Tensor, noise: Tensor) -> Tensor:
    """z_t, up from z_e through s under ''."""
    n = Numbers(prior)
    z = n.mix(z0, noise, E)
    for a, b in pairwise((E, S, T)):
        z = n.step(z, predict(prior, z, a, ""), a, b)
    return z


def identity_8(prior: AnalyticPrior, level: tuple[str, int] | None = None, **settings: Any) -> float:
    """S-(8) by way of S-(6): the method's gradient + z_e - G_self is alpha_e (integral) times SDS's residual.

    Here eps is the noise that z_t stands for beside z0, and z_e what S-(7) makes of it.
    """
    n, (z0, noise) = Numbers(prior), ducks(prior)
    method = sctd(prior, **settings)
    method._schedule = Levels(prior, level)
    z_t = inverted(prior, z0, noise)
    eps = (z_t - n.alpha[T] * z0) / n.sigma[T]
    eps_y, eps_0 = predict(prior, z_t, T), predict(prior, z_t, T, "")
    zhat_s = n.step(z_t, eps_y, T, S)
    g_self = n.step(zhat_s, predict(prior, zhat_s, S, ""), S, E)
    parts = gradient(method, z0, noise) + n.mix(z0, eps, E) - g_self
    return off(parts / n.integral, eps_y - eps + W * (eps_y - eps_0))


def identity_6(prior: AnalyticPrior, level: tuple[str, int] | None = None, **settings: Any) -> float:
    """b(t) |residual|^2 = w(t) |SDS's residual|^2, the residual being S-(6)'s: the method's, and as in S-(8).

    With ``weighting: supplement`` the method's gradient is b(t) times its residual.
    """
    n, (z0, noise) = Numbers(prior), ducks(prior)
    z_t = inverted(prior, z0, noise)
    eps = (z_t - n.alpha[T] * z0) / n.sigma[T]
    eps_y, eps_0 = predict(prior, z_t, T), predict(prior, z_t, T, "")
    sds = eps_y - eps + W * (eps_y - eps_0)
    zhat_s = n.step(z_t, eps_y, T, S)
    left_out = n.mix(z0, eps, E) - n.step(zhat_s, predict(prior, zhat_s, S, ""), S, E)
    method = sctd(prior, weighting="supplement", **settings)
    method._schedule = Levels(prior, level)
    weighted = gradient(method, z0, noise) + n.sigma[T] ** 2 / n.integral**2 * left_out
    whole = gradient(sctd(prior), z0, noise) + left_out
    return off((weighted * whole).sum(), n.sigma[T] ** 2 * sds.square().sum())


LEVELS = [(name, t) for name in ("alpha", "sigma") for t in (T, E)]
IDENTITIES: dict[str, tuple[Callable[..., float], list[Plants]]] = {
    "S-(4)": (identity_4, [{"level": level} for level in LEVELS]),
    "S-(6)": (
        identity_6,
        [*({"level": level} for level in LEVELS), {"guidance_scale": W * PLANTED}],
    ),
    "S-(7)": (identity_7, [{"level": level} for level in LEVELS]),
    "S-(8)": (
        identity_8,
        [
            *({"level": level} for level in [*LEVELS, ("alpha", S), ("sigma", S)]),
            {"guidance_scale": W * PLANTED},
            {"guidance_weight": PLANTED},
        ],
    ),
}


PLANTED_ONES = [(name, plant) for name, (_, plants) in IDENTITIES.items() for plant in plants]


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_holds_to_rounding(name):
    assert IDENTITIES[name][0](separate()) < ROUNDING


@pytest.mark.parametrize(("name", "plant"), PLANTED_ONES, ids=str)
def test_identity_notices_a_thousandth(name, plant):
    assert IDENTITIES[name][0](separate(), **plant) > SEEN


def test_the_second_line_of_s7_is_misprinted():
    """-alpha_e integral is -sigma_e (e^(lambda_e - lambda_t) - 1), where S prints alpha_e for -sigma_e."""
    n = Numbers(separate())
    grown = n.sigma[T] / n.alpha[T] * n.alpha[E] / n.sigma[E] - 1  # e^(lambda_e - lambda_t) - 1
    assert off(-n.sigma[E] * grown, -n.integral) < ROUNDING
    assert off(n.alpha[E] * grown, -n.integral) > 1


@pytest.mark.parametrize("coefficient", [1.0, PLANTED])
def test_the_two_forms_of_s8_are_one(coefficient):
    """eps_y - eps + w (eps_y - eps_0) = (eps_0 - eps) + (w + 1) (eps_y - eps_0), S-(8) as printed."""
    prior = separate()
    z0, noise = ducks(prior)
    z_t = Numbers(prior).mix(z0, noise, T)
    eps_y, eps_0 = predict(prior, z_t, T), predict(prior, z_t, T, "")
    printed = (eps_0 - noise) + coefficient * (W + 1) * (eps_y - eps_0)
    difference = off(printed, eps_y - noise + W * (eps_y - eps_0))
    assert (difference < ROUNDING) == (coefficient == 1), difference


@pytest.mark.parametrize("factor", [1.0, PLANTED])
def test_two_squared_norms_have_the_residual_as_their_gradient(factor):
    """|G_self - sg(G_null)|^2 + (w + 1) |G_null - sg(G_cond)|^2 by autograd, the network held fixed.

    sg holds its argument fixed. The gradient is 2 alpha_e times the method's: hence one loss, no switch.
    """
    prior = separate()
    n, (z0, noise) = Numbers(prior), ducks(prior)
    leaf = z0.clone().requires_grad_()
    z = n.mix(leaf, noise, E)
    for a, b in pairwise((E, S, T)):
        z = n.step(z, predict(prior, z, a, ""), a, b)
    eps_y = predict(prior, z, T)
    zhat_s = n.step(z, eps_y, T, S)
    g_self = n.step(zhat_s, predict(prior, zhat_s, S, ""), S, E)
    g_null, g_cond = n.step(z, predict(prior, z, T, ""), T, E), n.step(z, eps_y, T, E)
    loss = (g_self - g_null.detach()).square().sum() + (W + 1) * (g_null - g_cond.detach()).square().sum()
    (by_autograd,) = torch.autograd.grad(loss, leaf)
    difference = off(by_autograd, factor * 2 * n.alpha[E] * gradient(sctd(prior), z0, noise))
    assert (difference < ROUNDING) == (factor == 1), difference
