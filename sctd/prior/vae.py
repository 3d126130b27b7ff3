"""Pictures to latents and back: the whole VAE at once, image by image, in tiles, or a tiny autoencoder."""

from __future__ import annotations

from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sctd.config.prior import VAE_MODES, PriorSettings
from sctd.errors import InputError
from sctd.machine import transfer
from sctd.prior.load.parts import Parts, check_all_used, check_finite, first_sentence, pass_on, quiet


def replace(parts: Parts, settings: PriorSettings, dtype: torch.dtype) -> Parts:
    """The parts with the tiny autoencoder that the settings name, if they name one.

    Raises:
        InputError: its folder holds none, or a damaged one.
    """
    if settings.vae in VAE_MODES:
        return parts
    from diffusers import AutoencoderTiny

    try:
        with quiet():
            tiny, report = AutoencoderTiny.from_pretrained(
                Path(settings.vae).expanduser(),
                torch_dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        if report["missing_keys"] or report["mismatched_keys"]:
            raise ValueError(f"{len(report['missing_keys'])} weights missing")
        check_all_used(report["unexpected_keys"], "vae")
        check_finite(tiny)
    except Exception as exc:
        pass_on(exc)
        raise InputError(
            f"prior.vae {settings.vae} is no tiny autoencoder that can be read ({first_sentence(exc)}); "
            f"give {', '.join(VAE_MODES)}, or a folder with config.json and .safetensors weights "
            "of AutoencoderTiny"
        ) from exc
    return with_changes(parts, vae=tiny)


class Autoencoder:
    """A frozen VAE with the way that it is run.

    The gradient of the encoder needs what each of its layers saw: at 512 pixels that is more than everything
    else of a run. ``sliced`` keeps none of it and computes an image again when its gradient is due, one at a
    time; diffusers' own slicing would still keep it for every image. ``tiled`` does so with overlapping
    tiles of an image, which see less of it: latents near the seams differ.
    """

    def __init__(self, module: Any, mode: str, image_size: int) -> None:
        """Takes a frozen AutoencoderKL or AutoencoderTiny.

        Args:
            mode: full, sliced or tiled; anything else (the name of a tiny autoencoder) is full.
            image_size: pixels; tiles are half as wide.
        """
        self.module = module
        from diffusers import AutoencoderTiny

        self.has_spread = not isinstance(module, AutoencoderTiny)
        """Whether latents are drawn from a posterior; a tiny autoencoder gives them as they are."""
        self._one_by_one = mode in ("sliced", "tiled")
        self._scale = float(module.config.scaling_factor)
        self._shift = float(getattr(module.config, "shift_factor", None) or 0.0)
        if self._one_by_one:
            module.encoder = _Recomputed(module.encoder)
        if mode == "tiled":
            factor = 2 ** (len(module.config.block_out_channels) - 1)
            module.enable_tiling()
            module.tile_sample_min_size = image_size // 2
            module.tile_latent_min_size = image_size // 2 // factor

    def encode(self, images: Tensor, noise: Tensor | None, dtype: torch.dtype) -> Tensor:
        """[B, 3, H, W] in -1..1 => scaled latents [B, C, h, w] in ``dtype``, differentiable.

        Args:
            noise: normal, [B, C, h, w], any device, for the posterior sample; None takes the mean. A tiny
                autoencoder has no spread.
        """
        pieces = images.split(1) if self._one_by_one else (images,)
        coded = [self.module.encode(piece, return_dict=False)[0] for piece in pieces]
        if isinstance(coded[0], Tensor):
            return (torch.cat(coded).to(dtype) - self._shift) * self._scale
        z: Tensor = torch.cat([posterior.mean for posterior in coded]).to(dtype)
        if noise is not None:
            std = torch.cat([posterior.std for posterior in coded])
            z = z + std.to(z) * transfer.to_device(noise.to(z.dtype), z.device)
        return (z - self._shift) * self._scale

    def decode(self, latents: Tensor, dtype: torch.dtype) -> Tensor:
        """Scaled latents [B, C, h, w] => images [B, 3, H, W], about -1..1; computed in ``dtype``."""
        z = latents.to(dtype) / self._scale + self._shift
        pieces = z.split(1) if self._one_by_one else (z,)
        return torch.cat([self.module.decode(piece, return_dict=False)[0] for piece in pieces])


class _Recomputed(nn.Module):
    """A network whose insides are computed again in the backward pass instead of being kept."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """What the network gives."""
        # nothing random inside, so no state of generators to keep
        out: Tensor = checkpoint(self.inner, x, use_reentrant=False, preserve_rng_state=False)
        return out
