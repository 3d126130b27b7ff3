"""Interval score matching (LucidDreamer)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, norms
from sctd.methods.method_settings import IsmSettings
from sctd.prior.base import Prior
from sctd.schedule import Schedule, randint, warmup_rate
from sctd.solver import phi
from sctd.text import ViewTexts


class Ism:
    """dL/dz0 = lambda sigma_t / alpha_t (eps_w(z_t, t, y) - eps(z_s, s, '')), z_s and z_t by inversion of z0.

    Source: Liang et al., LucidDreamer, CVPR 2024, arXiv:2311.11284. Our choices: z0 counts as the latent of
    timestep 0, without noise; the first inversion step takes what the full ones leave; t is uniform in
    [t_min + interval, t_max]; the interval t - s goes linearly from interval_start to interval_end.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: IsmSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod, settings.t_max)
        self._iterations = iterations

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, azimuth: Tensor, elevation: Tensor, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`.

        (n + 3) B evaluations for n <= inversion_steps steps of inversion, so at most 8 B by default.
        """
        rule, schedule, network = self._settings, self._schedule, self._network
        network.evaluations = 0
        z0, y = z0.detach(), network.texts.embeddings(azimuth, elevation)
        rate = warmup_rate(iteration, self._iterations, rule.warmup)
        interval = rule.interval_end + round((rule.interval_start - rule.interval_end) * rate)
        t = randint(rule.t_min + interval, rule.t_max + 1, generator)
        s = t - interval

        z_s = self._invert(z0, s)
        eps_s = network.null_noise(z_s, s)
        z_t = phi(schedule, z_s, eps_s, s, t)
        eps_w = network.guided_noise(z_t, t, y, rule.guidance_scale)
        weight = rule.guidance_weight * schedule.snr_weight(t)
        residual = eps_w - eps_s
        scalars: dict[str, Number] = {
            "t": float(t),
            "s": float(s),
            "weight": weight,
            "evaluations": float(network.evaluations),
            "residual": norms(residual),
        }
        made = {"z0": z0, "z_s": z_s, "eps_s": eps_s, "z_t": z_t, "eps_w": eps_w}
        return Guidance(weight * residual, scalars, lambda: made)

    def _invert(self, z: Tensor, s: int) -> Tensor:
        """z0 => z_s up the unconditional ODE."""
        rule = self._settings
        count = min(-(-s // rule.inversion_step), rule.inversion_steps)
        path = [0, *(s - rule.inversion_step * k for k in reversed(range(count)))]
        for start, end in pairwise(path):
            z = phi(self._schedule, z, self._network.null_noise(z, start), start, end)
        return z
