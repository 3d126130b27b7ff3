"""Step 6 of 9: noise levels of the diffusion."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sctd.config.base import TIMESTEPS
from sctd.config.sctd import SctdSettings
from sctd.errors import InputError
from sctd.machine import transfer


class Level(NamedTuple):
    """Noise level of one timestep: z = alpha * z0 + sigma * noise, alpha^2 + sigma^2 = 1."""

    alpha: float
    sigma: float


class Schedule:
    """Noise levels of a prior, looked up by timestep in Python numbers (no device is asked)."""

    def __init__(self, alphas_cumprod: Tensor, t_max: int = TIMESTEPS - 1) -> None:
        """Takes abar_t, [T], each in (0, 1), T = 1000.

        Args:
            t_max: highest timestep in use; above it abar may be 0, which is no signal at all, as at the
                last timestep of models with zero terminal signal-to-noise ratio (Lin et al.
                2023, arXiv:2305.08891).

        Raises:
            InputError: the length is another one, or a value up to t_max lies outside (0, 1).
        """
        abar = alphas_cumprod.detach().to("cpu", torch.float64)
        if abar.shape != (TIMESTEPS,):
            raise InputError(
                f"the prior's noise schedule has {tuple(abar.shape)} levels; sctd works with {TIMESTEPS}, "
                "choose a prior trained with that many timesteps"
            )
        wrong = ((abar >= 1) | (abar < 0) | abar.isnan()).nonzero()
        if len(wrong):
            t = int(wrong[0])
            raise InputError(
                f"the prior's noise schedule has abar = {float(abar[t]):g} at timestep {t}, outside "
                "(0, 1); its scheduler config holds wrong betas, choose another prior"
            )
        empty = (abar == 0).nonzero()
        if len(empty) and int(empty[0]) <= t_max:
            raise InputError(
                f"the prior has no signal left at timestep {int(empty[0])} (zero terminal SNR), and the "
                f"method goes to {t_max}; set its t_max to at most {int(empty[0]) - 1}"
            )
        self._abar: list[float] = abar.tolist()
        self._alpha: list[float] = abar.sqrt().tolist()
        self._sigma: list[float] = (1 - abar).sqrt().tolist()
        self._tables: dict[tuple[object, ...], Tensor] = {}

    def level(self, t: int) -> Level:
        """alpha_t and sigma_t."""
        return Level(self._alpha[t], self._sigma[t])

    def levels(self, t: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t for each of ``like`` [B, ...]: views [B] of a table on its device, no copy."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        table = self._tables.get((like.device, dtype))
        if table is None:
            table = torch.tensor([self._alpha, self._sigma], dtype=torch.float64).to(dtype)
            table = transfer.to_device(table, like.device)
            self._tables[like.device, dtype] = table
        alpha, sigma = table[:, t : t + 1]
        return alpha.expand(like.shape[0]), sigma.expand(like.shape[0])

    def weights(self, t: int, e: int, settings: SctdSettings, like: Tensor) -> Tensor:
        """:meth:`weight` for each of ``like`` [B, ...]: a view [B] of a table on its device, no copy."""
        key = (like.device, like.dtype, settings.weighting, settings.guidance_weight, e)
        table = self._tables.get(key)
        if table is None:
            numbers = [self.weight(t, e, settings) for t in range(TIMESTEPS)]
            table = transfer.to_device(torch.tensor(numbers, dtype=like.dtype), like.device)
            self._tables[key] = table
        return table[t : t + 1].expand(like.shape[0])

    def clean(self, z: Tensor, eps: Tensor, t: int) -> Tensor:
        """x0 = (z - sigma_t eps) / alpha_t, the clean latent of a noise prediction; [B, ...]."""
        return (z - self._sigma[t] * eps) / self._alpha[t]

    def snr_weight(self, t: int) -> float:
        """sqrt((1 - abar_t) / abar_t) = sigma_t / alpha_t, the released w(t)."""
        return self._sigma[t] / self._alpha[t] if self._alpha[t] else math.inf

    def weight(self, t: int, e: int, settings: SctdSettings) -> float:
        """The factor of the whole gradient, lambda_guidance * w(t)."""
        w = 1.0
        if settings.weighting == "sigma_over_alpha":
            w = self.snr_weight(t)
        elif settings.weighting == "supplement":
            w = self._sigma[t] ** 2 / self.eps_weight(t, e) ** 2 if t > e else math.inf
        return settings.guidance_weight * w

    def eps_weight(self, t: int, e: int) -> float:
        """alpha_e times the integral of exp(-lambda) from lambda_t to lambda_e: eps's factor in S-(4)."""
        return self._alpha[e] * (self.snr_weight(t) - self.snr_weight(e))
