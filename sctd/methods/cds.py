"""Consistency distillation sampling (Consistent3D)."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, norms
from sctd.methods.method_settings import CdsSettings
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import add_noise, phi
from sctd.text import ViewTexts


class Cds:
    """dL/dz0 = lambda (x0(z_s, s) - x0(z_t, t)), z_s = Phi(z_t, t -> s, eps_w), noise fixed for the run.

    x0(z, t) = (z - sigma_t eps_w) / alpha_t; ``trained: noisier`` has the opposite sign. The difference is
    sigma_s / alpha_s (eps_w(z_s, s) - eps_w(z_t, t)). Source: Wu et al., CVPR 2024, arXiv:2401.09050. Our
    choices: both x0 guided; t falls as the square root of the run's progress from t_max to t_min + interval,
    s = t - interval; w goes linearly from guidance_start to guidance_end; the difference has weight 1 at
    every t.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: CdsSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod, settings.t_max)
        self._noise = NoiseSource(fixed=settings.noise == "fixed", offset=0.0, seed=seed)
        self._iterations = iterations

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, azimuth: Tensor, elevation: Tensor, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`; 4 B evaluations."""
        rule, schedule, network = self._settings, self._schedule, self._network
        network.evaluations = 0
        z0, y = z0.detach(), network.texts.embeddings(azimuth, elevation)
        progress = min(iteration / max(self._iterations - 1, 1), 1.0)
        t = rule.t_max - round((rule.t_max - rule.t_min - rule.interval) * progress**0.5)
        s = t - rule.interval
        scale = rule.guidance_start + (rule.guidance_end - rule.guidance_start) * progress

        z_t = add_noise(schedule, z0, self._noise(z0, generator), t)
        eps_t = network.guided_noise(z_t, t, y, scale)
        z_s = phi(schedule, z_t, eps_t, t, s)
        eps_s = network.guided_noise(z_s, s, y, scale)
        residual = schedule.clean(z_s, eps_s, s) - schedule.clean(z_t, eps_t, t)
        if rule.trained == "noisier":
            residual = -residual
        scalars: dict[str, Number] = {
            "t": float(t),
            "s": float(s),
            "weight": rule.guidance_weight,
            "guidance_scale": scale,
            "evaluations": float(network.evaluations),
            "residual": norms(residual),
        }
        made = {"z0": z0, "z_t": z_t, "eps_t": eps_t, "z_s": z_s, "eps_s": eps_s}
        return Guidance(rule.guidance_weight * residual, scalars, lambda: made)
