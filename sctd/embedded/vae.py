"""The embedded prior's autoencoder: 128x128 pictures => 16x16 latents of 8 channels, and its training."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from sctd.embedded.optimizers import muon_and_adamw
from sctd.embedded.traced import SIZE, TracedViews
from sctd.embedded.training import (
    CPU,
    Length,
    Report,
    Run,
    exponential_average,
    mixed_precision,
    step_generator,
)
from sctd.prior.load.parts import quiet

BATCH, CROP, RATE = 16, 64, 4e-3
# Of one that goes on from an earlier one, on whole pictures alone. Crops have other statistics for its group
# norms, and at a high rate the loss rises: in the rich world from 0.094 to 0.130 in 300 steps at 2.5e-3.
RATE_ON = 7e-4
CHANNELS, FACTOR = 8, 8
SMALL_SHARE = 0.5  # of the loss of pooled latents
# Every iteration of a distillation runs and differentiates the encoder, so its first levels, which have the
# most pixels, are narrow.
WIDTHS = (16, 32, 64, 128)
_NOT_MATRICES = ("conv_in", "conv_out", "quant_conv")  # for AdamW: the layers at pixels and latents


def new_vae() -> AutoencoderKL:
    """An untrained AutoencoderKL, factor 8, that starts with nearly noiseless latents."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )
    quant = vae.quant_conv
    with torch.no_grad():  # the posterior's log-variance starts at -6: noise would drown an untrained code
        quant.weight[CHANNELS:].mul_(0.1)
        quant.bias[CHANNELS:].fill_(-6.0)
    return vae


def picture_loss(error: Tensor) -> Tensor:
    """L1 + squared error + differences between neighbours (edges) of pictures in -1..1."""
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    loss: Tensor = error.abs().mean() + error.square().mean() + 0.4 * edges
    return loss


def reconstruction_loss(vae: AutoencoderKL, images: Tensor, noise: Tensor) -> Tensor:
    """The loss of pictures, that of half of them from pooled latents, and a faint pull to the unit Gaussian.

    Latents pooled by 2 have to give the picture pooled by 2. So neighbours in the latents come to agree, and
    a diffusion model learns them in fewer samples.

    Args:
        noise: for sampling the posterior.

    Source: Kouzelis et al. 2025, "EQ-VAE", arXiv:2502.09509, here for the scale 1/2 alone.
    """
    images = images * 2 - 1
    posterior = vae.encode(images).latent_dist
    latents = posterior.mean + posterior.std * noise
    half = len(images) // 2
    whole = picture_loss(vae.decode(latents).sample.float() - images)
    small = F.avg_pool2d(latents[:half], 2)
    pooled = picture_loss(vae.decode(small).sample.float() - F.avg_pool2d(images[:half], 2))
    loss: Tensor = whole + SMALL_SHARE * pooled + 1e-4 * posterior.kl().mean() / 64
    return loss


def psnr(vae: AutoencoderKL, images: Tensor) -> float:
    """Mean over pictures of the reconstruction's PSNR in dB, from the posterior's mean."""
    with torch.no_grad():
        out = vae.decode(vae.encode(images * 2 - 1).latent_dist.mean).sample / 2 + 0.5
        error = (out.clamp(0, 1) - images).square().mean(dim=(1, 2, 3))
    return float((-10 * error.log10()).mean())


def train_vae(
    views: TracedViews,
    folder: Path,
    seed: int,
    length: Length,
    report: Report,
    device: torch.device = CPU,
    start: AutoencoderKL | None = None,
) -> AutoencoderKL:
    """Crops, then for the last fifth whole pictures; returns the averaged model, on the CPU.

    Saves it as ``folder``/vae, in float16 as it ships, and loads it from there if it is finished.

    Args:
        start: an earlier one to go on from, with whole pictures alone and at RATE_ON. The scale of its
            latents, which a diffusion model knows, is kept.
    """
    finished = folder / "vae"
    if finished.exists():
        return load_vae(finished)
    torch.manual_seed(seed)
    vae = (new_vae() if start is None else deepcopy(start)).to(device).train()
    rate, crops = (RATE, 0.8) if start is None else (RATE_ON, 0.0)
    optimizers = muon_and_adamw(vae, rate, _NOT_MATRICES)
    run = Run("vae", folder, vae, optimizers, exponential_average(0.998))
    run.resume()

    def loss_of(step: int) -> Tensor:
        generator = step_generator(seed, step)
        whole = length.done(step, run.seconds) >= crops
        crop, count = (None, BATCH * CROP**2 // SIZE**2) if whole else (CROP, BATCH)
        images = views.draw(count, generator, crop, device).images
        noise = torch.randn(count, CHANNELS, *(n // FACTOR for n in images.shape[-2:]), generator=generator)
        with mixed_precision(device):
            return reconstruction_loss(vae, images, noise.to(device))

    run.train(loss_of, length, report)
    vae.load_state_dict(run.ema)
    vae = vae.to(CPU).eval()
    pictures = views.draw(256, step_generator(seed, -1)).images
    if start is None:
        with torch.no_grad():
            posteriors = [vae.encode(part * 2 - 1).latent_dist for part in pictures.split(64)]
        level_channels(vae, torch.cat([p.mean for p in posteriors]), torch.cat([p.std for p in posteriors]))
    report(f"vae: {psnr(vae, pictures[:128]):.2f} dB")
    with quiet():
        vae.half().save_pretrained(finished, safe_serialization=True)
    return load_vae(finished)


@torch.no_grad()
def level_channels(vae: AutoencoderKL, latents: Tensor, noise: Tensor) -> None:
    """Give the channels of the latents mean 0 and together standard deviation 1, by the layers next to them.

    The autoencoder's pictures do not change, and the scaling factor is 1. A channel's standard deviation
    becomes proportional to sqrt(its old one / the posterior's noise). The decoder needs precision where the
    posterior has little noise, so these channels stand out of the diffusion's noise longer. With one factor
    for all channels the widest one would dominate the diffusion model's loss; with equal widths, the details.

    Args:
        latents, noise: mean and standard deviation of posteriors, [n, C, h, w].
    """
    mean, std = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    wanted = (std / noise.mean(dim=(0, 2, 3))).sqrt()
    scale = wanted / wanted.square().mean().sqrt() / std
    encoder, decoder, count = vae.quant_conv, vae.post_quant_conv, len(mean)
    encoder.bias[:count].sub_(mean).mul_(scale)
    encoder.weight[:count].mul_(scale[:, None, None, None])
    encoder.bias[count:].add_(2 * scale.log())  # of the variance
    decoder.bias.add_(decoder.weight[:, :, 0, 0] @ mean)
    decoder.weight.div_(scale[None, :, None, None])
    vae.register_to_config(scaling_factor=1.0)


def load_vae(folder: Path) -> AutoencoderKL:
    """A finished autoencoder, float32."""
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
    return vae.eval()
