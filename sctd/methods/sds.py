"""Score distillation sampling (DreamFusion)."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.config.methods import SdsSettings
from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, norms
from sctd.methods.timesteps import randint
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import add_noise
from sctd.text import ViewTexts


class Sds:
    """dL/dz0 = lambda (1 - abar_t) (eps_w(z_t, t, y) - eps) / B, fresh eps.

    t is uniform in [t_min, t_max]. Source: Poole et al., 2022, arXiv:2209.14988; (1 - abar_t) is its w(t),
    and threestudio's code divides by the number of images.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: SdsSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod, settings.t_max)
        self._noise = NoiseSource(fixed=False, offset=0.0, seed=seed)

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`; 2 B evaluations."""
        rule, schedule, network = self._settings, self._schedule, self._network
        z0, y = z0.detach(), network.begin(cameras)
        t = randint(rule.t_min, rule.t_max + 1, generator)
        noise = self._noise(z0, generator)
        z_t = add_noise(schedule, z0, noise, t)
        eps_w = network.guided_noise(z_t, t, y, rule.guidance_scale)
        weight = rule.guidance_weight * schedule.level(t).sigma ** 2 / len(z0)
        residual = eps_w - noise
        scalars: dict[str, Number] = {
            "t": float(t),
            "weight": weight,
            "evaluations": float(network.evaluations),
            "residual": norms(residual),
        }
        made = {"z0": z0, "z_t": z_t, "eps_w": eps_w}
        return Guidance(weight * residual, scalars, lambda: made)
