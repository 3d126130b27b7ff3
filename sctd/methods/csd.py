"""Classifier score distillation."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.config.methods import CsdSettings
from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, between, norms, progress_of
from sctd.methods.timesteps import randint
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import add_noise
from sctd.text import ViewTexts


class Csd:
    """dL/dz0 = lambda (1 - abar_t) (eps(z_t, t, y) - (1 - n) eps(z_t, t, neg) - n eps(z_t, t, '')) / B.

    The eps in z_t is fresh, t uniform in [t_min, t_max]; n goes linearly from null_share_start to
    null_share_end. Source: Yu et al., 2023, arXiv:2310.19415; n and B as in its code's stage of Stable
    Diffusion (configs/csd-sd-refine.yaml).
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: CsdSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod, settings.t_max)
        self._noise = NoiseSource(fixed=False, offset=0.0, seed=seed)
        self._iterations = iterations

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`; 2 B evaluations, 3 B where the empty text has a share."""
        rule, schedule, network = self._settings, self._schedule, self._network
        z0, y = z0.detach(), network.begin(cameras)
        t = randint(rule.t_min, rule.t_max + 1, generator)
        z_t = add_noise(schedule, z0, self._noise(z0, generator), t)
        share = between(rule.null_share_start, rule.null_share_end, progress_of(iteration, self._iterations))
        if share == 0 or network.texts.negative_is_null:
            eps_neg, eps_y = network.noises(z_t, t, network.texts.negative, y)
        else:
            eps_neg, eps_y, eps_null = network.noises(z_t, t, network.texts.negative, y, network.texts.null)
            eps_neg = (1 - share) * eps_neg + share * eps_null
        weight = rule.guidance_weight * schedule.level(t).sigma ** 2 / len(z0)
        residual = eps_y - eps_neg
        scalars: dict[str, Number] = {
            "t": float(t),
            "weight": weight,
            "evaluations": float(network.evaluations),
            "residual": norms(residual),
        }
        made = {"z0": z0, "z_t": z_t, "eps_neg": eps_neg, "eps_y": eps_y}
        return Guidance(weight * residual, scalars, lambda: made)
