"""Writes a diffusers folder as one .safetensors file, tensors named as in the original code.

The names are those that diffusers' converter looks for: blocks are counted through, with the downsampling
layers among the input blocks and the upsampling ones at the end of their output block.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]

UNREAD_LAYER = 23  # the last of OpenCLIP ViT-H

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write_file(folder: Path, path: Path, *, open_clip: bool) -> Path:
    """Writes the file; ``open_clip`` names the text encoder's tensors as Stable Diffusion 2 does."""
    tensors = {f"model.diffusion_model.{k}": v for k, v in unet(folder / "unet").items()}
    tensors |= {f"first_stage_model.{k}": v for k, v in vae(folder / "vae").items()}
    tensors |= (text_2 if open_clip else text_1)(folder / "text_encoder")
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path, {"format": "pt"})
    return path


def read(folder: Path) -> tuple[Tensors, dict]:
    """Weights and config of a network's folder."""
    (file,) = folder.glob("*.safetensors")
    return load_file(file), json.loads((folder / "config.json").read_text())


def renamed(key: str, names: dict[str, str]) -> str:
    """The key with the first of the names that starts it, or stands in it after a dot, replaced."""
    for ours, theirs in names.items():
        if key.startswith(f"{ours}."):
            return theirs + key[len(ours) :]
        if f".{ours}." in key:
            return key.replace(f".{ours}.", f".{theirs}.")
    return key


def unet(folder: Path) -> Tensors:
    """A UNet2DConditionModel's tensors."""
    tensors, config = read(folder)
    per_block = config["layers_per_block"]
    out = {}
    for key, value in tensors.items():
        head, _, rest = key.partition(".")
        if head in ("down_blocks", "up_blocks"):
            block, kind, layer, tail = rest.split(".", 3)
            at = unet_place(head, int(block), kind, int(layer), per_block, tensors)
            tail = tail.replace("conv.", "op.") if kind == "downsamplers" else tail
            out[f"{at}.{renamed(tail, _RESNET) if kind == 'resnets' else tail}"] = value
        else:
            name = renamed(key, _UNET_ENDS)
            out[renamed(name, _RESNET) if "mid_block.resnets" in key else name] = value
    return out


def unet_place(head: str, block: int, kind: str, layer: int, per_block: int, tensors: Tensors) -> str:
    """Where a layer stands: input_blocks.N.M or output_blocks.N.M."""
    if head == "down_blocks":
        number = 1 + block * (per_block + 1) + (per_block if kind == "downsamplers" else layer)
        return f"input_blocks.{number}.{1 if kind == 'attentions' else 0}"
    number = block * (per_block + 1) + (per_block if kind == "upsamplers" else layer)
    attends = any(key.startswith(f"up_blocks.{block}.attentions.") for key in tensors)
    return f"output_blocks.{number}.{ {'resnets': 0, 'attentions': 1, 'upsamplers': 1 + attends}[kind] }"


def vae(folder: Path) -> Tensors:
    """An AutoencoderKL's tensors; its attention is made of 1 x 1 convolutions there."""
    tensors, config = read(folder)
    last = len(config["block_out_channels"]) - 1
    out = {}
    for key, value in tensors.items():
        name = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        for i in range(last + 1):
            name = name.replace(f"down_blocks.{i}.resnets", f"down.{i}.block")
            name = name.replace(f"down_blocks.{i}.downsamplers.0", f"down.{i}.downsample")
            name = name.replace(f"up_blocks.{i}.resnets", f"up.{last - i}.block")
            name = name.replace(f"up_blocks.{i}.upsamplers.0", f"up.{last - i}.upsample")
        name = name.replace("mid_block.resnets.0", "mid.block_1").replace(
            "mid_block.resnets.1", "mid.block_2"
        )
        if "mid_block.attentions.0" in name:
            name = renamed(name.replace("mid_block.attentions.0", "mid.attn_1"), _VAE_ATTENTION)
            value = value[:, :, None, None] if value.ndim == 2 else value
        out[name] = value
    return out


def text_1(folder: Path) -> Tensors:
    """A CLIPTextModel's tensors as Stable Diffusion 1 has them."""
    tensors, _ = read(folder)
    bare = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    return {f"cond_stage_model.transformer.text_model.{key}": value for key, value in bare.items()}


def text_2(folder: Path) -> Tensors:
    """The same as Stable Diffusion 2 has them, with one more layer and a projection, which nothing reads."""
    tensors, config = read(folder)
    bare = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    out = {
        "positional_embedding": bare["embeddings.position_embedding.weight"],
        "token_embedding.weight": bare["embeddings.token_embedding.weight"],
        "ln_final.weight": bare["final_layer_norm.weight"],
        "ln_final.bias": bare["final_layer_norm.bias"],
        "text_projection": torch.zeros(width, width, dtype=torch.float16),
        "logit_scale": torch.zeros((), dtype=torch.float16),
    }
    for layer in (*range(layers), UNREAD_LAYER):
        ours, theirs = f"encoder.layers.{min(layer, layers - 1)}", f"transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            attention = [bare[f"{ours}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
            out[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(attention)
            for a, b in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                out[f"{theirs}.{b}.{kind}"] = bare[f"{ours}.{a}.{kind}"]
    return {f"cond_stage_model.model.{key}": value for key, value in out.items()}
