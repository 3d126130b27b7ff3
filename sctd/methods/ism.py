"""Interval score matching (LucidDreamer)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from sctd.config.methods import IsmSettings
from sctd.methods.base import Guidance
from sctd.methods.baseline import Baseline
from sctd.methods.common import NoiseSource, between
from sctd.methods.timesteps import randint, warmup_rate
from sctd.solver import add_noise, phi


class Ism(Baseline[IsmSettings]):
    """dL/dz0 = lambda sigma_t / alpha_t (eps_w(z_t, t, y) - eps(z_s, s, '')), z_s and z_t by inversion of z0.

    t is uniform in [t_min, t_max], where t_max falls to t_max_end and the interval t - s from interval_start
    to interval_end over the warm-up. The inversion takes full steps and a last one for the rest; z0 counts as
    the latent of timestep 0, where the code starts from timestep 1 with its little noise.
    Source: Liang et al., LucidDreamer, CVPR 2024, arXiv:2311.11284, and its code, guidance/sd_utils.py.
    """

    def noise_source(self, seed: int) -> NoiseSource:
        """New noise with LucidDreamer's offset, drawn by inversions that start above timestep 0."""
        return NoiseSource(fixed=False, offset=0.1, seed=seed)

    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """See :meth:`.Baseline.gradient`.

        (n + 3) B evaluations for n <= inversion_steps steps of inversion, so at most 8 B by default.
        """
        rule, schedule, network = self._settings, self._schedule, self._network
        rate = warmup_rate(iteration, self._iterations, rule.warmup)
        interval = int(between(rule.interval_end, rule.interval_start, rate))
        high = int(between(rule.t_max_end, rule.t_max, rate))
        t = randint(rule.t_min, high + 1, generator)
        s = max(t - interval, 0)

        z_s = self._invert(z0, s, generator)
        eps_s = network.null_noise(z_s, s)
        z_t = phi(schedule, z_s, eps_s, s, t)
        eps_w = network.guided_noise(z_t, t, y, rule.guidance_scale)
        weight = rule.guidance_weight * schedule.snr_weight(t)
        made = {"z0": z0, "z_s": z_s, "eps_s": eps_s, "z_t": z_t, "eps_w": eps_w}
        return self._guidance(weight, eps_w - eps_s, {"t": float(t), "s": float(s)}, made)

    def _invert(self, z: Tensor, s: int, generator: torch.Generator) -> Tensor:
        """z0 => z_s up the unconditional ODE, from timestep 0 or where the allowed number of steps begins."""
        rule = self._settings
        start = max(s - rule.inversion_step * rule.inversion_steps, 0)
        if start > 0:
            z = add_noise(self._schedule, z, self._noise(z, generator), start)
        path = [*range(start, s, rule.inversion_step), s]
        for here, there in pairwise(path):
            z = phi(self._schedule, z, self._network.null_noise(z, here), here, there)
        return z
