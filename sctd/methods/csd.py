"""Classifier score distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, norms
from sctd.methods.method_settings import CsdSettings
from sctd.prior.base import Prior
from sctd.schedule import Schedule, randint
from sctd.solver import add_noise
from sctd.text import ViewTexts


class Csd:
    """dL/dz0 = lambda (1 - abar_t) (eps(z_t, t, y) - eps(z_t, t, neg)), fresh eps in z_t.

    t is uniform in [t_min, t_max]. Source: Yu et al., 2023, arXiv:2310.19415.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: CsdSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod, settings.t_max)
        self._noise = NoiseSource(fixed=False, offset=0.0, seed=seed)

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, azimuth: Tensor, elevation: Tensor, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`; 2 B evaluations."""
        rule, schedule, network = self._settings, self._schedule, self._network
        network.evaluations = 0
        z0, y = z0.detach(), network.texts.embeddings(azimuth, elevation)
        t = randint(rule.t_min, rule.t_max + 1, generator)
        z_t = add_noise(schedule, z0, self._noise(z0, generator), t)
        eps_neg, eps_y = network.noises(z_t, t, network.texts.negative, y)
        weight = rule.guidance_weight * schedule.level(t).sigma ** 2
        residual = eps_y - eps_neg
        scalars: dict[str, Number] = {
            "t": float(t),
            "weight": weight,
            "evaluations": float(network.evaluations),
            "residual": norms(residual),
        }
        made = {"z0": z0, "z_t": z_t, "eps_neg": eps_neg, "eps_y": eps_y}
        return Guidance(weight * residual, scalars, lambda: made)
