"""Score distillation sampling (DreamFusion)."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.methods import SdsSettings
from sctd.methods.base import Guidance
from sctd.methods.baseline import Baseline
from sctd.methods.timesteps import randint
from sctd.solver import add_noise


class Sds(Baseline[SdsSettings]):
    """dL/dz0 = lambda (1 - abar_t) (eps_w(z_t, t, y) - eps) / B, fresh eps.

    t is uniform in [t_min, t_max]. Source: Poole et al., 2022, arXiv:2209.14988; (1 - abar_t) is its w(t),
    and threestudio's code divides by the number of images.
    """

    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """See :meth:`.Baseline.gradient`; 2 B evaluations."""
        rule, schedule, network = self._settings, self._schedule, self._network
        t = randint(rule.t_min, rule.t_max + 1, generator)
        noise = self._noise(z0, generator)
        z_t = add_noise(schedule, z0, noise, t)
        eps_w = network.guided_noise(z_t, t, y, rule.guidance_scale)
        weight = rule.guidance_weight * schedule.level(t).sigma ** 2 / len(z0)
        made = {"z0": z0, "z_t": z_t, "eps_w": eps_w}
        return self._guidance(weight, eps_w - noise, {"t": float(t)}, made)
