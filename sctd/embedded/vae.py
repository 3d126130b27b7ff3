"""The embedded prior's autoencoder: 64x64 pictures => 16x16 latents of 4 channels, and its training."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from sctd.embedded.pictures import (
    COLOR_NAMES,
    PATTERN_NAMES,
    Views,
    compose,
    random_backgrounds,
    random_colors,
)
from sctd.embedded.training import Report, Run, adamw, step_generator

BATCH, CROP = 32, 32


def new_vae() -> AutoencoderKL:
    """An untrained AutoencoderKL, factor 4, that starts with nearly noiseless latents."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )
    quant = vae.quant_conv
    with torch.no_grad():  # the posterior's log-variance starts at -6: noise would drown an untrained code
        quant.weight[4:].mul_(0.1)
        quant.bias[4:].fill_(-6.0)
    return vae


def random_pictures(views: Views, n: int, generator: torch.Generator) -> Tensor:
    """n pictures [n, 3, H, W] of random views, colours, patterns and backgrounds."""
    index = torch.randint(len(views), (n,), generator=generator)
    color = torch.randint(len(COLOR_NAMES), (n,), generator=generator)
    pattern = torch.randint(len(PATTERN_NAMES), (n,), generator=generator)
    return compose(
        views.maps[index], random_colors(color, generator), pattern, random_backgrounds(n, generator)
    )


def reconstruction_loss(vae: AutoencoderKL, images: Tensor, generator: torch.Generator) -> Tensor:
    """L1 + squared error + differences between neighbours (edges) + a faint pull of the latents to the unit
    Gaussian."""
    images = images * 2 - 1
    posterior = vae.encode(images).latent_dist
    latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator)
    error = vae.decode(latents).sample - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    loss: Tensor = (
        error.abs().mean() + error.square().mean() + 0.4 * edges + 1e-4 * posterior.kl().mean() / 64
    )
    return loss


def psnr(vae: AutoencoderKL, images: Tensor) -> float:
    """Mean over pictures of the reconstruction's PSNR in dB, from the posterior's mean."""
    with torch.no_grad():
        out = vae.decode(vae.encode(images * 2 - 1).latent_dist.mean).sample / 2 + 0.5
        error = (out.clamp(0, 1) - images).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())


def train_vae(views: Views, folder: Path, seed: int, steps: int, report: Report) -> AutoencoderKL:
    """Crops for the first three quarters, then whole pictures; returns the averaged model with its scaling
    factor."""
    torch.manual_seed(seed)
    vae = new_vae()
    run = Run("vae", folder, vae, adamw(vae.parameters(), 2e-3, 0.0), ema_decay=0.998)
    run.resume()

    def loss_of(step: int) -> Tensor:
        generator = step_generator(seed, step)
        if step >= 0.75 * steps:
            return reconstruction_loss(vae, random_pictures(views, BATCH // 2, generator), generator)
        images = random_pictures(views, BATCH, generator)
        # Objects fill the middle: crops are drawn from there too, never only background.
        y, x = (int(v) for v in torch.randint(4, 64 - CROP - 3, (2,), generator=generator))
        return reconstruction_loss(vae, images[..., y : y + CROP, x : x + CROP], generator)

    run.train(loss_of, steps, 2e-3, report)
    vae.load_state_dict(run.ema)
    vae.eval()
    pictures = random_pictures(views, 512, step_generator(seed, -1))
    with torch.no_grad():
        latents = torch.cat([vae.encode(part * 2 - 1).latent_dist.mean for part in pictures.split(64)])
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
    report(f"vae: {psnr(vae, pictures[:128]):.2f} dB, scaling factor {vae.config.scaling_factor}")
    return vae
