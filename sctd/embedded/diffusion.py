"""The embedded prior's text encoder and UNet, trained together on latents of random pictures."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sctd.embedded.captions import TEXT_LENGTH, base_caption, view_of, with_view
from sctd.embedded.pictures import (
    COLOR_NAMES,
    KIND_NAMES,
    PATTERN_NAMES,
    Views,
    compose,
    random_backgrounds,
    random_colors,
)
from sctd.embedded.training import Report, Run, adamw, arithmetic, mixed_precision, step_generator
from sctd.embedded.weights import load_pipeline
from sctd.embedded.world import VIEW_PHRASES, Subject
from sctd.text import blend_weights

BATCH, PEAK_RATE = 64, 1e-3
TEXT_WIDTH = 128
# How a picture's caption says the view: nothing at all (for guidance), no view, words of the nearest view, or
# two neighbouring phrases blended by azimuth exactly as text.py does it when an object is distilled. Words
# alone are only given to pictures within 30 degrees of what they say (a blend weight of 2/3), so that they
# stay crisp.
EMPTY, NO_VIEW, NEAREST = 0.12, 0.10, 0.33
CRISP = 2 / 3


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise levels, v-prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_unet() -> UNet2DConditionModel:
    """Stable Diffusion's layout, small: 16x16 latents, attention to the text at 8x8 and 4x4."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(48, 96, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


@dataclass(frozen=True)
class Latents:
    """Encoded pictures and what they show: z0 float16 [n, 4, 16, 16] (times the scaling factor), indices
    and angles [n]."""

    z0: Tensor
    kind: Tensor
    color: Tensor
    pattern: Tensor
    azimuth: Tensor
    elevation: Tensor

    def __len__(self) -> int:
        return len(self.z0)


def encode_latents(vae: AutoencoderKL, views: Views, per_view: int, seed: int, report: Report) -> Latents:
    """Every view in ``per_view`` random colours, patterns and backgrounds, encoded."""
    generator = step_generator(seed, 0)
    order = torch.arange(len(views)).repeat(per_view)
    color = torch.randint(len(COLOR_NAMES), (len(order),), generator=generator)
    pattern = torch.randint(len(PATTERN_NAMES), (len(order),), generator=generator)
    parts = []
    for chunk in torch.arange(len(order)).split(64):
        images = compose(
            views.maps[order[chunk]],
            random_colors(color[chunk], generator),
            pattern[chunk],
            random_backgrounds(len(chunk), generator),
        )
        with torch.no_grad():
            posterior = vae.encode(images * 2 - 1).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        parts.append(((posterior.mean + posterior.std * noise) * vae.config.scaling_factor).half())
        if len(parts) % 100 == 0:
            report(f"latents: {len(parts) * 64}/{len(order)}")
    return Latents(
        torch.cat(parts), views.kind[order], color, pattern, views.azimuth[order], views.elevation[order]
    )


def captions_of(latents: Latents, index: Tensor, rng: random.Random) -> tuple[list[str], list[str], Tensor]:
    """Captions of pictures: two texts each and the weight [n] of the first in their blended embedding."""
    weights = blend_weights(latents.azimuth[index], latents.elevation[index])
    first: list[str] = []
    second: list[str] = []
    share: list[float] = []
    for i, row in zip(index.tolist(), weights, strict=True):
        subject = Subject(
            KIND_NAMES[int(latents.kind[i])],
            COLOR_NAMES[int(latents.color[i])],
            PATTERN_NAMES[int(latents.pattern[i])],
        )
        text, draw = base_caption(subject, rng), rng.random()
        top = row.topk(2)
        if draw < EMPTY:
            pair, weight = ("", ""), 1.0
        elif draw < EMPTY + NO_VIEW:
            pair, weight = (text, text), 1.0
        elif draw < EMPTY + NO_VIEW + NEAREST and top.values[0] > CRISP:
            view = view_of(float(latents.azimuth[i]), float(latents.elevation[i]))
            text = with_view(text, view, rng)
            pair, weight = (text, text), 1.0
        else:
            a, b = (f"{text}, {VIEW_PHRASES[int(k)]}" for k in top.indices)
            pair, weight = (a, b), float(top.values[0])
        first.append(pair[0])
        second.append(pair[1])
        share.append(weight)
    return first, second, torch.tensor(share)


class TextAndUNet(nn.Module):
    """The two networks that are trained together, as one module."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = new_text_encoder(tokenizer)
        self.unet = new_unet()


def load_networks(folder: Path) -> tuple[AutoencoderKL, CLIPTokenizer, TextAndUNet]:
    """Autoencoder, tokenizer and the two trained networks of a weights folder, float32."""
    pipeline = load_pipeline(folder)
    model = TextAndUNet(pipeline.tokenizer)
    model.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
    model.unet.load_state_dict(pipeline.unet.state_dict())
    return pipeline.vae.eval(), pipeline.tokenizer, model


def train_diffusion(
    model: TextAndUNet,
    latents: Latents,
    tokenizer: CLIPTokenizer,
    folder: Path,
    seed: int,
    steps: int,
    report: Report,
) -> None:
    """Train on v-prediction; leaves the averaged weights in ``model``."""
    model.train()
    run = Run("diffusion", folder, model, adamw(model.parameters(), PEAK_RATE))
    run.resume()
    alphas_cumprod = new_scheduler().alphas_cumprod

    def encode(texts: list[str]) -> Tensor:
        tokens: Any = tokenizer(texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True)
        embeddings: Tensor = model.text_encoder(torch.tensor(tokens.input_ids))[0]
        return embeddings

    def loss_of(step: int) -> Tensor:
        generator = step_generator(seed, step)
        index = torch.randint(len(latents), (BATCH,), generator=generator)
        first, second, weight = captions_of(latents, index, random.Random(f"{seed} {step}"))
        z0 = latents.z0[index].float()
        noise = torch.randn(z0.shape, generator=generator)
        t = torch.randint(1000, (BATCH,), generator=generator)
        alpha, sigma = (x.sqrt()[:, None, None, None] for x in (alphas_cumprod[t], 1 - alphas_cumprod[t]))
        weight = weight[:, None, None]
        with mixed_precision():
            both = encode(first + second).view(2, BATCH, TEXT_LENGTH, TEXT_WIDTH)
            embeddings = both[0] * weight + both[1] * (1 - weight)
            v = model.unet(alpha * z0 + sigma * noise, t, embeddings).sample
        return F.mse_loss(v.float(), alpha * noise - sigma * z0)

    report(f"diffusion: products in {arithmetic()}")
    run.train(loss_of, steps, PEAK_RATE, report)
    model.load_state_dict(run.ema)
    model.eval()
