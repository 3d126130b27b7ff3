"""LoRAs with random matrices, in the layout of each program, and the expected layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]
Networks = dict[str, nn.Module]
Matrices = dict[str, Tensor]
"""down, up, and if need be mid, of one layer."""

QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
KEY = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
OUT = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
FEED = "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj"
PROJECTION = "mid_block.attentions.0.proj_in"  # a 1 x 1 convolution
CONVOLUTION = "down_blocks.0.resnets.0.conv1"
TEXT_VALUE = "text_model.encoder.layers.0.self_attn.v_proj"
TEXT_OUT = "text_model.encoder.layers.0.self_attn.out_proj"
TEXT_MLP = "text_model.encoder.layers.0.mlp.fc1"

UNET = (QUERY, KEY, OUT, FEED, PROJECTION, CONVOLUTION)
TEXT = (TEXT_VALUE, TEXT_OUT, TEXT_MLP)
ALL = (*UNET, *TEXT)


def matrices(shape: tuple[int, ...], rank: int, seed: int, *, tucker: bool = False) -> Matrices:
    """Random ones for a weight of this shape; a convolution's kernel is in ``down``, or in ``mid``."""
    generator = torch.Generator().manual_seed(seed)
    kernel = shape[2:]
    ones = (1,) * len(kernel)
    sizes = {"down": (rank, shape[1], *(ones if tucker else kernel)), "up": (shape[0], rank, *ones)}
    if tucker:
        sizes["mid"] = (rank, rank, *kernel)
    return {role: 0.1 * torch.randn(size, generator=generator) for role, size in sizes.items()}


def change(m: Mapping[str, Tensor], shape: tuple[int, ...]) -> np.ndarray:
    """The matrices' product, in float64 loops of numpy: up times mid times down, position by position."""
    down, up = (m[role].double().numpy() for role in ("down", "up"))
    up = up.reshape(shape[0], -1)
    out = np.zeros(shape)
    for position in np.ndindex(*shape[2:]):
        if "mid" in m:
            middle = m["mid"].double().numpy()[(..., *position)]
            out[(..., *position)] = up @ middle @ down.reshape(len(down), -1)
        else:
            out[(..., *position)] = up @ down[(..., *position)]
    return out


def flat(layer: str) -> str:
    """A layer's name as kohya's scripts write it."""
    return ("lora_te_" if layer.startswith("text_model") else "lora_unet_") + layer.replace(".", "_")


def kohya(layer: str, m: Matrices) -> Tensors:
    return {f"{flat(layer)}.lora_{role}.weight": matrix for role, matrix in m.items()}


def kohya_te1(layer: str, m: Matrices) -> Tensors:
    return {key.replace("lora_te_", "lora_te1_"): value for key, value in kohya(layer, m).items()}


def dotted(layer: str) -> str:
    """A layer's name as diffusers writes it."""
    return ("text_encoder." if layer.startswith("text_model") else "unet.") + layer


def diffusers(layer: str, m: Matrices) -> Tensors:
    return {f"{dotted(layer)}.lora_{'A' if r == 'down' else 'B'}.weight": matrix for r, matrix in m.items()}


def diffusers_default(layer: str, m: Matrices) -> Tensors:
    return {key.replace(".weight", ".default.weight"): value for key, value in diffusers(layer, m).items()}


def diffusers_lora(layer: str, m: Matrices) -> Tensors:
    return {f"{dotted(layer)}.lora.{role}.weight": matrix for role, matrix in m.items()}


def attention_processors(layer: str, m: Matrices) -> Tensors:
    """Diffusers before peft: attention under .processor, the text encoder's linear layers on their own."""
    name = dotted(layer)
    head, _, last = name.removesuffix(".0").rpartition(".")
    if last in ("to_q", "to_k", "to_v", "to_out"):
        name = f"{head}.processor.{last}_lora"
    elif last.endswith("_proj") and "self_attn" in head:
        name = f"{head}.to_{last[0] if last != 'out_proj' else 'out'}_lora"
    else:
        name = f"{name}.lora_linear_layer" if "mlp" in name else f"{name}.lora"
    return {f"{name}.{role}.weight": matrix for role, matrix in m.items()}


def processors_without_network(layer: str, m: Matrices) -> Tensors:
    return {
        k.removeprefix("unet.").removeprefix("text_encoder."): v
        for k, v in attention_processors(layer, m).items()
    }


def peft(layer: str, m: Matrices) -> Tensors:
    keys = diffusers(layer, m).items()
    return {"base_model.model." + k.split(".", 1)[1]: value for k, value in keys}


NAMINGS: dict[str, Callable[[str, Matrices], Tensors]] = {
    made.__name__: made
    for made in (
        kohya,
        kohya_te1,
        diffusers,
        diffusers_default,
        diffusers_lora,
        attention_processors,
        processors_without_network,
    )
}


def write(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> str:
    """Saves the tensors; the file's name as the settings want it."""
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"format": "pt", **(metadata or {})})
    return str(path)


def weights(networks: Networks) -> Tensors:
    """Every tensor by its published name: a text encoder's layers start with text_model."""
    unet, text = (dict(networks[n].state_dict()) for n in ("unet", "text_encoder"))
    return unet | {f"text_model.{k.removeprefix('text_model.')}": v for k, v in text.items()}


def shape_of(base: Networks, layer: str) -> tuple[int, ...]:
    return tuple(weights(base)[f"{layer}.weight"].shape)


def made(base: Networks, layers: tuple[str, ...], ranks: tuple[int, ...] = (2,)) -> dict[str, Matrices]:
    """Random matrices for each layer, ranks in turn."""
    return {
        layer: matrices(shape_of(base, layer), ranks[i % len(ranks)], i) for i, layer in enumerate(layers)
    }
