"""Guided steps and the closed-form noise prediction, in double; the theory is in tests/theory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import add_noise, guided_phi, phi

T, S, E = 640, 450, 404


@pytest.fixture
def prior() -> AnalyticPrior:
    """Two words, three components each, in a 4-channel 3 x 3 latent space."""
    generator = torch.Generator().manual_seed(5)
    means = torch.randn(6, 4, 3, 3, generator=generator, dtype=torch.float64)
    spreads = torch.linspace(0.3, 0.8, 6)
    return AnalyticPrior(means, spreads, torch.ones(6), {"duck": [0, 1, 2], "mug": [3, 4, 5]})


@pytest.fixture
def schedule(prior: AnalyticPrior) -> Schedule:
    return Schedule(prior.traits.alphas_cumprod)


def draw(*, batch: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    z0, noise = torch.randn(2, batch, 4, 3, 3, generator=generator, dtype=torch.float64)
    return z0, noise


def eps_of(prior: AnalyticPrior, z: Tensor, t: int, text: str) -> Tensor:
    return prior.predict(z, t, prior.encode_text([text]).expand(len(z), -1, -1))


def test_guided_phi_is_two_steps_with_the_guided_prediction(prior, schedule):
    z_t = add_noise(schedule, *draw(), T)
    eps_y, eps_0 = eps_of(prior, z_t, T, "a mug"), eps_of(prior, z_t, T, "")
    z_s, z_e, guided = guided_phi(schedule, z_t, eps_0, eps_y, 3.0, T, (S, E))
    expected = eps_0 + 3 * (eps_y - eps_0)
    torch.testing.assert_close(guided, expected)
    torch.testing.assert_close(z_s, phi(schedule, z_t, expected, T, S))
    torch.testing.assert_close(z_e, phi(schedule, z_t, expected, T, E))


def test_analytic_prediction_is_the_score_of_the_noised_mixture(prior):
    """-sigma grad log p by automatic differentiation of an independently written density."""
    abar = prior.traits.alphas_cumprod[300]
    alpha, sigma = abar.sqrt(), (1 - abar).sqrt()
    z = draw()[0].requires_grad_()
    logs = []
    for k in (3, 4, 5):
        std = (alpha**2 * prior._spreads2[k] + sigma**2).sqrt()
        logs.append(torch.distributions.Normal(alpha * prior._means[k], std).log_prob(z).sum((1, 2, 3)))
    (score,) = torch.autograd.grad(torch.logsumexp(torch.stack(logs), 0).sum(), z)
    torch.testing.assert_close(eps_of(prior, z.detach(), 300, "a mug"), -sigma * score, rtol=1e-9, atol=1e-9)
