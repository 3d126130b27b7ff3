"""Segmented consistency trajectory distillation, one iteration: latents in, their gradient out."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd import ops
from sctd.cameras import Viewpoints
from sctd.config.sctd import SctdSettings
from sctd.errors import InputError
from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, norms, pixel_constraint
from sctd.methods.timesteps import Timesteps, TimestepSampler
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import add_noise, clean, guided_phi, phi
from sctd.text import ViewTexts


class Sctd:
    """SCTD with the released step and its published or measured alternatives as settings.

    Source: Zhu et al., SegmentDreamer, ICCV 2025, arXiv:2507.05256, supplement sections D and E, and the
    authors' released code, which the defaults follow.
    """

    def __init__(
        self, prior: Prior, texts: ViewTexts, settings: SctdSettings, *, iterations: int, seed: int
    ) -> None:
        """See :class:`sctd.methods.base.MethodFactory`.

        Raises:
            InputError: the prior's noise schedule has not 1000 levels, or no signal left at ``t_max``; or
                Perp-Neg, which works on the words of a view, is on and the prior reads none.
        """
        if settings.perp_neg.enabled and prior.traits.reads_cameras:
            raise InputError(
                "sctd.perp_neg: Perp-Neg pushes away from wrong view words, and this prior reads the "
                "camera itself; set sctd.perp_neg.enabled=false"
            )
        self._prior = prior
        self._texts = texts
        self._settings = settings
        self._schedule = Schedule(prior.traits.alphas_cumprod, settings.t_max)
        self._timesteps = TimestepSampler(settings, iterations)
        self._network = Network(prior, texts, self._schedule)
        self._scale = settings.guidance_scale if settings.guided_condition else 1.0
        self._noise = NoiseSource(
            fixed=settings.noise == "fixed", offset=settings.effective_noise_offset, seed=seed
        )

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`.

        Costs 5 B evaluations of one image, 4 B below t_threshold; Perp-Neg adds 2 B, exact_null B,
        cp_weight 2 B (4 B with Perp-Neg) and two decodings.
        """
        steps = self._timesteps.draw(iteration, generator)
        noise = self._noise(z0, generator)
        return self.residual(z0.detach(), noise, cameras, steps)

    @torch.no_grad()
    def residual(self, z0: Tensor, noise: Tensor, cameras: Viewpoints, steps: Timesteps) -> Guidance:
        """The deterministic part of an iteration: everything after the draws of noise and timesteps."""
        t, s, e = steps
        rule, schedule, kind = self._settings, self._schedule, self._prior.traits.prediction

        towards = self._network.begin(cameras)
        z_e = add_noise(schedule, z0, noise, e)
        z_t, out_e = self._invert(z_e, steps)
        out_null, out_cond, wrong, out_empty = self._predict(
            z_t, t, towards, cameras, with_empty=rule.exact_null
        )
        zhat_s, g_cond, _ = guided_phi(
            schedule, z_t, out_null, out_cond, self._scale, t, (s, e), wrong=wrong, prediction=kind
        )
        # z_e stands for G_m(z_t, t, ''), as in the released code (guidance/sctd_utils.py); the supplement
        # has G_m, and its "computation reduction trick", section E, is S-(8), which is step 9 of the docs.
        g_null = z_e if out_empty is None else phi(schedule, z_t, out_empty, t, e, kind)

        out_s = self._unconditional(zhat_s, s)
        grad, stats = ops.sctd_step_residual(
            zhat_s,
            out_s,
            schedule.levels(s, z0),
            schedule.levels(e, z0),
            g_null,
            g_cond,
            schedule.weights(t, e, rule, z0),
            rule.guidance_scale,
            prediction=kind,
        )
        self_norms, cross_norms, _ = stats.t().contiguous()  # rows are read back without a gather for each
        pixels: dict[str, Tensor] = {}
        if rule.cp_weight > 0:
            f_e = clean(schedule, z_e, out_e, e, kind)
            pixels = self._pixels(f_e, g_cond, e, towards, cameras)
            grad = grad + rule.cp_weight * pixels["L_CP gradient"]
        scalars: dict[str, Number] = {
            "t": float(t),
            "s": float(s),
            "e": float(e),
            "weight": schedule.weight(t, e, rule),
            "evaluations": float(self._network.evaluations),
            "self_consistency": self_norms,
            "cross_consistency": cross_norms,
        }
        if pixels:
            scalars["pixel_constraint"] = norms(pixels["pixels"])

        def made() -> dict[str, Tensor]:
            networks = {"out_null": out_null, "out_cond": out_cond}
            g_self = phi(schedule, zhat_s, out_s, s, e, kind)
            ends = {"G_null": g_null, "G_cond": g_cond, "G_self": g_self}
            return {"z0": z0, "z_e": z_e, "z_t": z_t, **networks, "zhat_s": zhat_s, **ends, **pixels}

        return Guidance(grad, scalars, made)

    def _pixels(
        self, f_e: Tensor, g_cond: Tensor, e: int, towards: Tensor, cameras: Viewpoints
    ) -> dict[str, Tensor]:
        """L_CP's residual between F(z_e, e, '') and F(G_cond, e, y), in pixels, and its gradient, by name."""
        kind = self._prior.traits.prediction
        out_null, out_cond, wrong, _ = self._predict(g_cond, e, towards, cameras, with_empty=False)
        _, _, guided = guided_phi(
            self._schedule,
            g_cond,
            out_null,
            out_cond,
            self._scale,
            e,
            (e, e),
            wrong=wrong,
            prediction=kind,
        )
        wanted = clean(self._schedule, g_cond, guided, e, kind)
        pull, residual = pixel_constraint(self._prior, f_e, wanted)
        return {"F_cond": wanted, "pixels": residual, "L_CP gradient": pull}

    def _invert(self, z_e: Tensor, steps: Timesteps) -> tuple[Tensor, Tensor]:
        """z_e => z_t up the unconditional ODE: through s from t_threshold on, in one step below.

        Also the network's output at z_e, for the text ''.
        """
        (t, s, e), kind = steps, self._prior.traits.prediction
        out_e = self._unconditional(z_e, e)
        if t < self._settings.t_threshold:
            return phi(self._schedule, z_e, out_e, e, t, kind), out_e
        z_s = phi(self._schedule, z_e, out_e, e, s, kind)
        return phi(self._schedule, z_s, self._unconditional(z_s, s), s, t, kind), out_e

    def _unconditional(self, z: Tensor, t: int) -> Tensor:
        """The network's output at z for the text ''."""
        return self._network.outputs(z, t, self._texts.null)[0]

    def _predict(
        self, z: Tensor, t: int, towards: Tensor, cameras: Viewpoints, *, with_empty: bool
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None, Tensor | None]:
        """The network's outputs at z, in one batch: for neg, for y of each view, for Perp-Neg's wrong
        directions with their weights, and, with ``with_empty``, for ''."""
        rule, texts = self._settings, self._texts
        wrong_weights, right_and_wrong = None, towards[None]
        if rule.perp_neg.enabled:
            right_and_wrong, wrong_weights = texts.perp_neg(cameras.azimuth, cameras.elevation, rule.perp_neg)
        prompts = [texts.negative, *right_and_wrong]
        needs_empty = with_empty and not texts.negative_is_null
        if needs_empty:
            prompts.append(texts.null)

        parts = self._network.outputs(z, t, *prompts)
        out_empty = (parts[-1] if needs_empty else parts[0]) if with_empty else None
        away = None if wrong_weights is None else (torch.stack(parts[2:4], dim=1), wrong_weights)
        return parts[0], parts[1], away, out_empty
