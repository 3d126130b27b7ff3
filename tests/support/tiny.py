"""A Stable Diffusion folder of a few thousand random weights, made with diffusers' own classes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sctd.cameras import Viewpoints

LENGTH = 24  # tokens of a text; a token is a byte here
WIDTH = 16


def views_from(*azimuth: float) -> Viewpoints:
    """Cameras at these azimuths, rad, level, before a white background."""
    turn = torch.tensor(azimuth)
    one = torch.ones_like(turn)
    return Viewpoints(turn, 0 * one, 3.3 * one, 0.7 * one, torch.ones(len(turn), 3))


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer without merges: every byte is a token of its own."""
    folder.mkdir(parents=True)
    # CLIP's byte alphabet: printable bytes stand for themselves, the others are moved up from 256
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def text_config(**more: int) -> CLIPTextConfig:
    """CLIP's text encoder with one layer, for the tokenizer above."""
    return CLIPTextConfig(
        vocab_size=514,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=512,
        eos_token_id=513,
        **more,
    )


def write_folder(
    folder: Path,
    prediction_type: str = "epsilon",
    *,
    latent_channels: int = 4,
    sd2: bool = False,
    labels: int | None = None,
) -> Path:
    """Writes the pipeline, float16, and returns the folder; 16 x 16 images, 8 x 8 latents.

    ``sd2`` takes what Stable Diffusion 2 has other than 1: heads of one width, linear projections; and
    attention in the VAE, which both have and which costs time. ``labels`` is the width of class labels
    that the UNet projects.
    """
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4) if sd2 else 4,
        use_linear_projection=sd2,
        norm_num_groups=4,
        class_embed_type=None if labels is None else "projection",
        projection_class_embeddings_input_dim=labels,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        mid_block_add_attention=sd2,
        sample_size=16,
        scaling_factor=0.5,
    )
    text = CLIPTextModel(text_config())
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction_type
    )
    networks = {"unet": unet, "vae": vae, "text_encoder": text}
    for part, module in networks.items():
        module.half().save_pretrained(folder / part, safe_serialization=True)
    scheduler.save_pretrained(folder / "scheduler")
    write_tokenizer(folder / "tokenizer")
    index: dict[str, object] = {"_class_name": "StableDiffusionPipeline"}
    for part, module in {**networks, "scheduler": scheduler}.items():
        kind = type(module)
        index[part] = [kind.__module__.split(".")[0], kind.__name__]
    index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
