"""Consistency distillation sampling (Consistent3D)."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.methods import CdsSettings
from sctd.methods.base import Guidance, Number
from sctd.methods.baseline import Baseline
from sctd.methods.common import NoiseSource, between, progress_of
from sctd.methods.timesteps import randint
from sctd.solver import add_noise, phi


class Cds(Baseline[CdsSettings]):
    """dL/dz0 = lambda (eps_w(z_t, t, y) - eps_w(z_s, s, y)) / B, clipped; z_s = Phi(z_t, t -> s, eps_w).

    That difference is alpha_s / sigma_s (x0(z_s, s) - x0(z_t, t)), which ``weighting: clean`` takes without
    its factor; ``trained: noisier`` has the opposite sign. s falls from s_start to s_end with the square root
    of the progress, t - s is uniform in gap .. gap + gap_width - 1, w and the clipping limit are linear.
    Source: Wu et al., CVPR 2024, arXiv:2401.09050, and the coarse stage of its code
    (configs/consistency-coarse.yaml), which draws t for each image; here an iteration's images share it.
    """

    def noise_source(self, seed: int) -> NoiseSource:
        """As the setting ``noise`` says."""
        kind = self._settings.noise
        return NoiseSource(fixed=kind == "fixed", shared=kind == "shared", offset=0.0, seed=seed)

    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """See :meth:`.Baseline.gradient`; 4 B evaluations."""
        rule, schedule, network = self._settings, self._schedule, self._network
        progress = progress_of(iteration, self._iterations)
        s = rule.s_start - round((rule.s_start - rule.s_end) * progress**0.5)
        t = min(s + self._gap(generator), rule.t_max)
        scale = between(rule.guidance_start, rule.guidance_end, progress)

        z_t = add_noise(schedule, z0, self._noise(z0, generator), t)
        eps_t = network.guided_noise(z_t, t, y, scale)
        z_s = phi(schedule, z_t, eps_t, t, s)
        eps_s = network.guided_noise(z_s, s, y, scale)
        if rule.weighting == "epsilon":
            residual = eps_t - eps_s
        else:
            residual = schedule.clean(z_s, eps_s, s) - schedule.clean(z_t, eps_t, t)
        if rule.clip_start is not None:
            limit = between(rule.clip_start, rule.clip_end, progress)
            residual = residual.clamp(-limit, limit)
        if rule.trained == "noisier":
            residual = -residual
        scalars: dict[str, Number] = {"t": float(t), "s": float(s), "guidance_scale": scale}
        made = {"z0": z0, "z_t": z_t, "eps_t": eps_t, "z_s": z_s, "eps_s": eps_s}
        return self._guidance(rule.guidance_weight / len(z0), residual, scalars, made)

    def _gap(self, generator: torch.Generator) -> int:
        """t - s; draws nothing where only one value is possible."""
        gap, width = self._settings.gap, self._settings.gap_width
        return gap if width == 1 else randint(gap, gap + width, generator)
