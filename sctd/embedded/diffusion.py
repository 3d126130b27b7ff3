"""Training of the embedded prior's text encoder and UNet, together, on latents of random pictures."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from sctd.embedded.latents import Lessons, Pool, Sample, draw_sample, token_numbers
from sctd.embedded.networks import TextAndUNet, new_scheduler
from sctd.embedded.optimizers import muon_and_adamw
from sctd.embedded.together import ALONE, Member
from sctd.embedded.training import (
    CPU,
    Length,
    Report,
    Run,
    arithmetic,
    mixed_precision,
    power_average,
    step_generator,
)
from sctd.embedded.weights import CARD, pipeline_of
from sctd.prior.load.parts import quiet

RATE = 2.5e-3
AVERAGE_WIDTH = 0.08  # of the run
# How often a picture has no camera, so that its caption names the view, and how often it has no text, for
# guidance.
NO_CAMERA, NO_TEXT = 0.15, 0.10
# The signal-to-noise ratio from which on a better latent counts no more: Hang et al. 2023, arXiv:2303.09556,
# for v, whose plain loss weighs the error of the clean latent by SNR + 1.
MIN_SNR = 5.0
# Weights that Muon leaves to AdamW: embeddings, first and last layers, the linear layers of time and camera.
_NOT_MATRICES = ("embedding", "conv_in", "conv_out", "time_emb_proj")


@dataclass(frozen=True)
class Batches:
    """Samples of a step, and the pictures encoded for them."""

    size: int
    new: int
    """Pictures encoded in each step."""
    pool: int
    """Encoded pictures in the pool."""
    first: int
    """Pictures encoded before the first step."""

    def shared(self, member: Member) -> Batches:
        """What one of several processes draws."""
        return Batches(*(member.share(n) for n in astuple(self)))


CPU_BATCHES = Batches(size=96, new=16, pool=32_768, first=4_096)
GPU_BATCHES = Batches(size=1_024, new=192, pool=131_072, first=16_384)


def snr_weight(alphas_cumprod: Tensor) -> Tensor:
    """abar [n] => the weight of the error of v, [n]: min(SNR + 1, MIN_SNR) / (SNR + 1)."""
    return (MIN_SNR * (1 - alphas_cumprod)).clamp(max=1.0)  # SNR + 1 = 1 / (1 - abar)


def even_timesteps(n: int, generator: torch.Generator) -> Tensor:
    """n timesteps of 1000, [n], each in its own n-th part of them: their mean varies less."""
    return ((torch.arange(n) + torch.rand(n, generator=generator)) * (1000 / n)).long().clamp(max=999)


class Loss:
    """The loss of a batch, as a function of the step alone once the samples are drawn."""

    def __init__(self, model: TextAndUNet, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._abar = new_scheduler().alphas_cumprod
        self._empty = token_numbers(tokenizer, [""]).to(device)

    def __call__(self, sample: Sample, generator: torch.Generator) -> Tensor:
        """Weighted squared error of v, mean over the batch."""
        n, device = len(sample), self._device
        noise = torch.randn(sample.z0.shape, generator=generator).to(device)
        t = even_timesteps(n, generator)
        draws = torch.rand(2, n, generator=generator).to(device)
        no_camera, no_text = draws[0] < NO_CAMERA, draws[1] < NO_TEXT
        abar = self._abar[t].to(device)
        alpha, sigma = (x.sqrt()[:, None, None, None] for x in (abar, 1 - abar))
        z0 = sample.z0.float()
        features = sample.features * ~no_camera[:, None]
        with mixed_precision(device):
            embeddings = self._embeddings(sample, no_camera, no_text)
            v = self._model(alpha * z0 + sigma * noise, t.to(device), embeddings, features)
        error = (v.float() - (alpha * noise - sigma * z0)).square().mean(dim=(1, 2, 3))
        loss: Tensor = (error * snr_weight(abar)).mean()
        return loss

    def _embeddings(self, sample: Sample, no_camera: Tensor, no_text: Tensor) -> Tensor:
        """Of each picture's text: '', a caption, or, without a camera, two blended ones that say the view."""
        first = torch.where(no_camera[:, None], sample.view_captions[:, 0], sample.caption)
        first = torch.where(no_text[:, None], self._empty, first)
        blended = (no_camera & ~no_text).nonzero()[:, 0]
        both = self._model.encode(torch.cat((first, sample.view_captions[blended, 1])))
        embeddings, second = both[: len(first)], both[len(first) :]
        share = sample.share[blended, None, None].to(both.dtype)
        return embeddings.index_put((blended,), embeddings[blended] * share + second * (1 - share))


def train_diffusion(
    model: TextAndUNet,
    lessons: Lessons,
    folder: Path,
    seed: int,
    length: Length,
    report: Report,
    device: torch.device = CPU,
    batches: Batches | None = None,
    member: Member = ALONE,
) -> None:
    """Train on v-prediction; leaves the averaged weights in ``model``, on the CPU.

    Every checkpoint also writes them to ``folder``/weights, so that an unfinished prior can be tried.

    Args:
        batches: of all processes together; None: by device.
        member: which of the processes this is.
    """
    batches = batches or (GPU_BATCHES if device.type == "cuda" else CPU_BATCHES)
    own, seed = batches.shared(member), member.seed(seed)
    model.to(device).train()
    vae, tokenizer = lessons.vae.to(device), lessons.tokenizer
    optimizers = muon_and_adamw(model, RATE, _NOT_MATRICES)
    run = Run("diffusion", folder, model, optimizers, power_average(AVERAGE_WIDTH), member)
    run.resume()
    report(f"diffusion: {batches.size} samples a step in {arithmetic(device)}, from step {run.step}")
    loss, pool = Loss(model, tokenizer, device), Pool(own.pool)
    while len(pool) < own.first:
        pool.add(draw_sample(lessons, own.new, seed + 1, run.step + len(pool)))

    def loss_of(step: int) -> Tensor:
        pool.add(draw_sample(lessons, own.new, seed, step))
        generator = step_generator(seed, step)
        return loss(pool.draw(own.size, generator), generator)

    average, encoder = TextAndUNet(tokenizer), deepcopy(vae).to(CPU)

    def keep_average() -> None:
        if not member.leads:
            return
        average.load_state_dict(run.ema)
        save_weights(encoder, average, tokenizer, folder / "weights")

    run.train(loss_of, length, report, batch=batches.size, saved=keep_average)
    model.load_state_dict(run.ema)
    model.to(CPU).eval()
    vae.to(CPU)


def save_weights(vae: AutoencoderKL, model: TextAndUNet, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the diffusers folder: every file to a temporary folder first, then renamed into place."""
    pipeline = pipeline_of(vae, model.text_encoder, model.unet, tokenizer, new_scheduler())
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for name in ("vae", "unet", "text_encoder"):
        getattr(pipeline, name).half()
    with quiet():
        pipeline.save_pretrained(temporary, safe_serialization=True)
    for name in ("vae", "unet", "text_encoder"):
        getattr(pipeline, name).float()
    # diffusers notes where it loaded a part from: a private path
    for config in temporary.glob("*/config.json"):
        facts = json.loads(config.read_text(encoding="utf-8"))
        facts.pop("_name_or_path", None)
        config.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for beside in (CARD, "recogniser.safetensors"):
        if (folder / beside).exists():
            shutil.copy(folder / beside, temporary / beside)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
