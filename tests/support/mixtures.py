"""Shared by the theory tests: Gaussian mixtures, latents drawn from them, and the PF-ODE solved finely."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import phi

TEXT = "a duck"


def mixture(scale: float, first_spread: float, last_spread: float) -> AnalyticPrior:
    """Six components in a 4-channel 3 x 3 latent space, in double; three of them are ducks."""
    means = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    spreads = torch.linspace(first_spread, last_spread, 6, dtype=torch.float64)
    return AnalyticPrior(scale * means, spreads, torch.ones(6), {"duck": [0, 1, 2]})


def smooth() -> AnalyticPrior:
    """Components that overlap: the noise prediction bends little."""
    return mixture(0.3, 1.0, 1.2)


def separate() -> AnalyticPrior:
    """Components several standard deviations apart: the prediction turns sharply where z decides."""
    return mixture(1.0, 0.3, 0.8)


def ducks(prior: AnalyticPrior, count: int = 8) -> tuple[Tensor, Tensor]:
    """Latents [count, 4, 3, 3] drawn from the text's components in turn, and noise of the same shape."""
    draws = torch.randn(2, count, 4, 3, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    component = torch.arange(count) % 3
    spread = prior._spreads2.sqrt()[component][:, None, None, None]
    return prior._means[component] + spread * draws[0], draws[1]


def predict(prior: AnalyticPrior, z: Tensor, t: int, text: str = TEXT) -> Tensor:
    """eps(z, t, text)."""
    return prior.predict(z, t, prior.encode_text([text]).expand(len(z), -1, -1))


def ratio(prior: AnalyticPrior, t: int) -> float:
    """rho_t = sigma_t / alpha_t."""
    abar = float(prior.traits.alphas_cumprod[t])
    return math.sqrt((1 - abar) / abar)


def exact(prior: AnalyticPrior, z: Tensor, start: int, end: float, substeps: int, text: str = TEXT) -> Tensor:
    """z / alpha at rho = ``end``, by d(z/alpha)/d rho = eps: classic Runge-Kutta in log rho, order 4."""
    embedding = prior.encode_text([text]).expand(len(z), -1, -1)
    first, last = math.log(ratio(prior, start)), math.log(end)
    h = (last - first) / substeps

    def slope(u: float, x: Tensor) -> Tensor:
        rho = math.exp(u)
        abar = 1 / (1 + rho * rho)
        return rho * prior.noise_at(math.sqrt(abar) * x, abar, embedding)

    x = z / prior.traits.alphas_cumprod[start].sqrt()
    for i in range(substeps):
        u = first + i * h
        k1 = slope(u, x)
        k2 = slope(u + h / 2, x + h / 2 * k1)
        k3 = slope(u + h / 2, x + h / 2 * k2)
        k4 = slope(u + h, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def substeps(t: int, e: int) -> int:
    """Fine enough that the reference's own error is below a thousandth of the measured error (tested)."""
    return max(16, (t - e) // 6)


def errors(prior: AnalyticPrior, schedule: Schedule, z_t: Tensor, t: int, e: int) -> Tensor:
    """|G(z_t, t, e, y) - exact solution at e| of each latent, in units of z_e; [B]."""
    g = phi(schedule, z_t, predict(prior, z_t, t), t, e)
    solution = exact(prior, z_t, t, ratio(prior, e), substeps(t, e)) * prior.traits.alphas_cumprod[e].sqrt()
    return (g - solution).flatten(1).norm(dim=1)
