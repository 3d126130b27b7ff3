"""Guided consistency sampling (ConnectCD)."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.methods.base import Guidance
from sctd.methods.common import Network, NoiseSource, answer, mean_norm
from sctd.methods.method_settings import GcsSettings
from sctd.prior.base import Prior
from sctd.schedule import Schedule, randint
from sctd.solver import add_noise, phi
from sctd.text import ViewTexts


class Gcs:
    """lambda sigma_t / alpha_t [cc (G_self - G_null) + cg (F_e - F_cond) + cp (E D F_e - E D F_cond,y)].

    S-(1), each norm's residual taken as the gradient, as sctd does; E and D are the VAE. Source: Li et al.,
    ECCV 2024, and the SegmentDreamer supplement, section A. Our choices: the weight and the sign of the first
    term are sctd's; only the prediction at z_t is guided; t is uniform, then e, then s between them; the
    decoder's transposed Jacobian is replaced by the encoder, for priors decode without gradient.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: GcsSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._network = Network(prior, texts)
        self._settings = settings
        self._schedule = Schedule(prior.alphas_cumprod)
        self._noise = NoiseSource(fixed=settings.noise == "fixed", offset=0.0, seed=seed)

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, azimuth: Tensor, elevation: Tensor, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`.

        8 B evaluations; B less when neg is '', B less without L_CP.
        """
        rule, schedule, network = self._settings, self._schedule, self._network
        network.evaluations = 0
        z0, y = z0.detach(), network.texts.embeddings(azimuth, elevation)
        t = randint(rule.t_min + 2 * rule.margin, rule.t_max + 1, generator)
        e = randint(rule.t_min, t - 2 * rule.margin + 1, generator)
        s = randint(e + rule.margin, t - rule.margin + 1, generator)

        z_e = add_noise(schedule, z0, self._noise(z0, generator), e)
        eps_e = network.null_noise(z_e, e)
        z_s = phi(schedule, z_e, eps_e, e, s)
        z_t = phi(schedule, z_s, network.null_noise(z_s, s), s, t)
        eps_null, eps_w = self._at_t(z_t, t, y)
        zhat_s = phi(schedule, z_t, eps_w, t, s)
        g_null, g_cond = (phi(schedule, z_t, eps, t, e) for eps in (eps_null, eps_w))
        g_self = phi(schedule, zhat_s, network.null_noise(zhat_s, s), s, e)

        f_e = schedule.clean(z_e, eps_e, e)
        consistency, guidance = (
            g_self - g_null,
            f_e - schedule.clean(g_cond, network.null_noise(g_cond, e), e),
        )
        pixels = self._through_pixels(f_e, g_cond, e, y)
        weight = rule.guidance_weight * schedule.snr_weight(t)
        grad = weight * (rule.cc_weight * consistency + rule.cg_weight * guidance + rule.cp_weight * pixels)
        scalars = {
            "t": float(t),
            "s": float(s),
            "e": float(e),
            "weight": weight,
            "evaluations": float(network.evaluations),
            "self_consistency": mean_norm(consistency),
            "conditional_guidance": mean_norm(guidance),
            "pixel_constraint": mean_norm(pixels),
        }
        made = {"z0": z0, "z_e": z_e, "z_t": z_t, "eps_w": eps_w, "zhat_s": zhat_s}
        made |= {"G_null": g_null, "G_cond": g_cond, "G_self": g_self, "F_e": f_e, "pixels": pixels}
        return answer(grad, scalars, made)

    def _at_t(self, z_t: Tensor, t: int, y: Tensor) -> tuple[Tensor, Tensor]:
        """eps(z_t, t, '') and the guided prediction; '' is not asked again when it is neg."""
        texts = self._network.texts
        prompts = (texts.negative, y) if texts.negative_is_null else (texts.negative, y, texts.null)
        eps = self._network.noises(z_t, t, *prompts)
        eps_null = eps[0] if texts.negative_is_null else eps[2]
        return eps_null, eps[0] + self._settings.guidance_scale * (eps[1] - eps[0])

    def _through_pixels(self, f_e: Tensor, g_cond: Tensor, e: int, y: Tensor) -> Tensor:
        """L_CP's residual in pixels, brought back to latents by the encoder; 0 when its weight is."""
        if self._settings.cp_weight == 0:
            return torch.zeros_like(f_e)
        prior = self._network.prior
        f_cond = self._schedule.clean(g_cond, self._network.noises(g_cond, e, y)[0], e)
        own, wanted = (prior.encode_images(prior.decode_latents(f)).to(f) for f in (f_e, f_cond))
        return own - wanted
