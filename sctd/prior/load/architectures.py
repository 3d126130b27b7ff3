"""The shapes of Stable Diffusion 1.5 and 2.1, as a diffusers folder without weights.

A single .safetensors file holds weights alone: what the layers are and how many heads they have must come
from elsewhere, and that is here. The memory of a prior that is not there yet is estimated with the same
shapes. Its tokenizer is CLIP's, whose merges :func:`sctd.prior.load.hub.clip_merges` finds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sctd.prior.load.sources import Generation

CLIP_LENGTH = 77
"""Tokens of a text, start and end included."""

# Sources: configs of the published diffusers versions of Stable Diffusion 1.5, 2.1-base and 2.1.
_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}
_UNETS: Mapping[Generation, dict[str, Any]] = {
    # "attention_head_dim" is read as the number of heads: 8 of 40 to 160, or 5 to 20 of 64
    "sd1": {**_UNET, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        **_UNET,
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
}
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
_TEXT: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": 49408,
    "max_position_embeddings": CLIP_LENGTH,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
_TEXTS: Mapping[Generation, dict[str, Any]] = {
    "sd1": {
        **_TEXT,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
        "projection_dim": 768,
    },
    # OpenCLIP ViT-H without its last layer: Stable Diffusion 2 reads the last but one
    "sd2": {
        **_TEXT,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "projection_dim": 512,
    },
}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
_START, _END = "<|startoftext|>", "<|endoftext|>"
_PADDING: Mapping[Generation, str] = {"sd1": _END, "sd2": "!"}
_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}


def write_configs(folder: Path, family: Generation, prediction: str = "auto") -> Path:
    """Writes a pipeline's folder without its weights and its tokenizer.

    Args:
        folder: where to; it may exist.
        prediction: epsilon, v_prediction or sample; auto: epsilon. The 2.x models that predict v were trained
            at 768 pixels, the others at 512.
    """
    predicts = "epsilon" if prediction == "auto" else prediction
    size = 96 if (family, predicts) == ("sd2", "v_prediction") else 64
    configs = {
        "model_index.json": _INDEX,
        "unet/config.json": {**_UNETS[family], "sample_size": size},
        "vae/config.json": {**_VAE, "sample_size": 8 * size},
        "text_encoder/config.json": _TEXTS[family],
        "scheduler/scheduler_config.json": {**_SCHEDULER, "prediction_type": predicts},
    }
    for name, config in configs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return folder


def write_tokenizer(folder: Path, family: Generation, merges: str) -> None:
    """CLIP's: the vocabulary is the bytes, the bytes that end a word, the merged pairs, and two marks.

    Args:
        folder: of the tokenizer, made when it is not there.
        merges: a merges.txt: a line on its version, then a pair a line, the most frequent first.
    """
    alphabet = byte_alphabet()
    pairs = [line.replace(" ", "") for line in merges.splitlines()[1:]]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *pairs, _START, _END]
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CLIP_LENGTH,
        "bos_token": _START,
        "eos_token": _END,
        "unk_token": _END,
        "pad_token": _PADDING[family],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def byte_alphabet() -> list[str]:
    """The characters that stand for the 256 bytes: printable ones for themselves, the others from 256 up."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
