"""Guided consistency sampling (ConnectCD)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.config.methods import GcsSettings
from sctd.methods.base import Guidance, Number
from sctd.methods.baseline import Baseline
from sctd.methods.common import NoiseSource, norms, pixel_constraint
from sctd.methods.timesteps import randint, warmup_rate
from sctd.prior.base import Prior
from sctd.solver import add_noise, phi
from sctd.text import ViewTexts

NORMS = ("self_consistency", "conditional_guidance", "pixel_constraint")
LOSSES = ("L_CC", "L_CG", "L_CP")
"""Names in the log: the norms of the three residuals, and the three weighted terms."""


class Gcs(Baseline[GcsSettings]):
    """The gradient of lambda (cc L_CC + cg L_CG + cp L_CP), S-(1), with the network's outputs held fixed.

    released (ConnectCD's code), over B:

    dL/dz0 = lambda [2 alpha_e cc (G_null - G_self) + 2 cg (F_e - F_cond,y)],
    dL/dx  = lambda 2 cp (D F_e - D F_cond,y), x being the pictures and D clamped to 0..1;

    supplement, S-(1), over B too:

    dL/dz0 = lambda [2 alpha_e cc (G_null - G_self) + 2 cg (F_e - F_cond) + 2 cp J^T (D F_e - D F_cond,y)],

    J being the decoder's Jacobian at F_e and F_cond = F(G_cond, e, ''). Which side of each norm is held fixed
    (G_self, F_cond) and that every y is guided follows the code in both. t, s and e: :func:`_released` and
    :func:`_anywhere`. Source: Li et al., ConnectCD, ECCV 2024, arXiv:2407.13584, its code
    (guidance/gcs_utils.py), and the SegmentDreamer supplement, section A.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: GcsSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        super().__init__(prior, texts, settings, iterations=iterations, seed=seed)
        self._draw = {"released": _released, "anywhere": _anywhere}[settings.timestep_sampling]
        self._cross = {"released": self._cross_released, "supplement": self._cross_supplement}[
            settings.losses
        ]

    def noise_source(self, seed: int) -> NoiseSource:
        """As the settings ``noise`` and ``noise_offset`` say."""
        rule = self._settings
        return NoiseSource(fixed=rule.noise == "fixed", offset=rule.noise_offset, seed=seed)

    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """See :meth:`.Baseline.gradient`.

        released: 8 B evaluations, 7 B when neg is ''. supplement: 9 B, 7 B without L_CP; 7 B and 6 B when neg
        is ''. L_CP also decodes 2 B images, in the supplement's way B of them with the gradient.
        """
        rule, schedule, network = self._settings, self._schedule, self._network
        rate = warmup_rate(iteration, self._iterations, rule.warmup)
        t, s, e = self._draw(rule, rate, generator)

        z_e = add_noise(schedule, z0, self._noise(z0, generator), e)
        eps_e = network.null_noise(z_e, e)
        z_s = phi(schedule, z_e, eps_e, e, s)
        z_t = phi(schedule, z_s, network.null_noise(z_s, s), s, t)
        eps_null, eps_w = self._null_and_guided(z_t, t, y)
        zhat_s = phi(schedule, z_t, eps_w, t, s)
        g_null, g_cond = (phi(schedule, z_t, eps, t, e) for eps in (eps_null, eps_w))
        g_self = phi(schedule, zhat_s, network.null_noise(zhat_s, s), s, e)

        f_e = schedule.clean(z_e, eps_e, e)
        consistency = g_null - g_self
        guidance, pull, pixels = self._cross(f_e, g_cond, e, y)
        alpha_e = schedule.level(e).alpha  # dG_null/dz0, for every step scales z by a ratio of alphas
        weight = rule.guidance_weight / len(z0)
        grad = 2 * rule.cc_weight * alpha_e * consistency + 2 * rule.cg_weight * guidance
        if rule.losses == "supplement":
            grad, of_pictures = grad + rule.cp_weight * pull, None
        else:
            of_pictures = weight * rule.cp_weight * pull if rule.cp_weight else None
        scalars: dict[str, Number] = {
            "t": float(t),
            "s": float(s),
            "e": float(e),
            "weight": weight,
            "evaluations": float(network.evaluations),
        }
        factors = (rule.cc_weight, rule.cg_weight, rule.cp_weight)
        terms = zip(NORMS, LOSSES, factors, (consistency, guidance, pixels), strict=True)
        for norm, loss, factor, residual in terms:
            scalars[norm] = length = norms(residual)
            scalars[loss] = factor * length.square()
        made = {"z0": z0, "z_e": z_e, "z_t": z_t, "eps_w": eps_w, "zhat_s": zhat_s}
        made |= {"G_null": g_null, "G_cond": g_cond, "G_self": g_self, "F_e": f_e, "pixels": pixels}
        return Guidance(weight * grad, scalars, lambda: made, of_pictures)

    def _null_and_guided(self, z: Tensor, t: int, y: Tensor) -> tuple[Tensor, Tensor]:
        """eps(z, t, '') and the guided prediction; '' takes no evaluation of its own when it is neg."""
        texts = self._network.texts
        prompts = (texts.negative, y) if texts.negative_is_null else (texts.negative, y, texts.null)
        eps = self._network.noises(z, t, *prompts)
        eps_null = eps[0] if texts.negative_is_null else eps[2]
        return eps_null, eps[0] + self._settings.guidance_scale * (eps[1] - eps[0])

    def _cross_supplement(
        self, f_e: Tensor, g_cond: Tensor, e: int, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """F_e - F(G_cond, e, ''); L_CP's gradient by F_e and its residual in pixels, both 0 without L_CP."""
        schedule, network = self._schedule, self._network
        if self._settings.cp_weight == 0:
            guidance = f_e - schedule.clean(g_cond, network.null_noise(g_cond, e), e)
            return guidance, torch.zeros_like(f_e), torch.zeros_like(f_e)
        eps_null, eps_w = self._null_and_guided(g_cond, e, y)
        f_null, f_y = (schedule.clean(g_cond, eps, e) for eps in (eps_null, eps_w))
        return f_e - f_null, *pixel_constraint(network.prior, f_e, f_y)

    def _cross_released(
        self, f_e: Tensor, g_cond: Tensor, e: int, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """F_e - F(G_cond, e, y); L_CP's gradient by the pictures and its residual, both 0 without L_CP."""
        network = self._network
        eps_w = network.guided_noise(g_cond, e, y, self._settings.guidance_scale)
        f_y = self._schedule.clean(g_cond, eps_w, e)
        if self._settings.cp_weight == 0:
            return f_e - f_y, torch.zeros_like(f_e), torch.zeros_like(f_e)
        decoded = [network.prior.decode(latents).clamp(0, 1) for latents in (f_e, f_y)]
        pixels = decoded[0] - decoded[1]
        return f_e - f_y, 2 * pixels, pixels


def _released(rule: GcsSettings, rate: float, generator: torch.Generator) -> tuple[int, int, int]:
    """t from a window that slides down, s one interval below, e from a second interval below that.

    Source: ConnectCD's code, guidance/gcs_utils.py.
    """
    interval = int(rule.interval_end + math.ceil(rate * (rule.interval_start - rule.interval_end)))
    shift = int((rule.t_max - rule.t_min - rule.t_span) * rate)
    t = max(randint(rule.t_min + shift, rule.t_min + rule.t_span + shift, generator), interval + 1)
    s = max(t - interval, 1)
    low, high = max(t - 2 * interval, 0), max(t - interval - 10, 1)
    return t, s, max(randint(low, high, generator), 1)


def _anywhere(rule: GcsSettings, rate: float, generator: torch.Generator) -> tuple[int, int, int]:
    """t uniform, e uniform below it, s between them: ours."""
    t = randint(rule.t_min + 2 * rule.margin, rule.t_max + 1, generator)
    e = randint(rule.t_min, t - 2 * rule.margin + 1, generator)
    s = randint(e + rule.margin, t - rule.margin + 1, generator)
    return t, s, e
