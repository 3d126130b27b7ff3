"""Classifier score distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.methods import CsdSettings
from sctd.methods.base import Guidance
from sctd.methods.baseline import Baseline
from sctd.methods.common import between, progress_of
from sctd.methods.timesteps import randint
from sctd.solver import add_noise


class Csd(Baseline[CsdSettings]):
    """dL/dz0 = lambda (1 - abar_t) (eps(z_t, t, y) - (1 - n) eps(z_t, t, neg) - n eps(z_t, t, '')) / B.

    The eps in z_t is fresh, t uniform in [t_min, t_max]; n goes linearly from null_share_start to
    null_share_end. Source: Yu et al., 2023, arXiv:2310.19415; n and B as in its code's stage of Stable
    Diffusion (configs/csd-sd-refine.yaml).
    """

    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """See :meth:`.Baseline.gradient`; 2 B evaluations, 3 B where the empty text has a share."""
        rule, schedule, network = self._settings, self._schedule, self._network
        t = randint(rule.t_min, rule.t_max + 1, generator)
        z_t = add_noise(schedule, z0, self._noise(z0, generator), t)
        share = between(rule.null_share_start, rule.null_share_end, progress_of(iteration, self._iterations))
        if share == 0 or network.texts.negative_is_null:
            eps_neg, eps_y = network.noises(z_t, t, network.texts.negative, y)
        else:
            eps_neg, eps_y, eps_null = network.noises(z_t, t, network.texts.negative, y, network.texts.null)
            eps_neg = (1 - share) * eps_neg + share * eps_null
        weight = rule.guidance_weight * schedule.level(t).sigma ** 2 / len(z0)
        made = {"z0": z0, "z_t": z_t, "eps_neg": eps_neg, "eps_y": eps_y}
        return self._guidance(weight, eps_y - eps_neg, {"t": float(t)}, made)
