"""Merges a LoRA, LoCon or DoRA into the weights of the UNet and the text encoder.

Hu et al. 2021, LoRA, section 4.1; Yeh et al. 2024, LyCORIS (LoCon); Liu et al. 2024, DoRA, equation 5. The
file's own tensors are merged, layer by layer: conversions between namings have lost alphas and magnitudes
silently (diffusers#3743, #7366).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from sctd.errors import InputError
from sctd.prior.load.headers import read_header
from sctd.prior.load.lora_keys import PEFT_PREFIX, Layer, Network, Role, layers_of

_METADATA = "lora_adapter_metadata"  # diffusers' name for peft's configs in a file's header
_CONFIG = "adapter_config.json"  # peft's name for its config beside a file
_TEXT_WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}


def merge(file: str, weight: float, networks: Mapping[Network, nn.Module], name: str) -> None:
    """W <- W + weight alpha / rank B A in each layer; of a DoRA then m W / ||W||, row by row, with its m.

    Sums are float32, rounded once to the network's dtype. The weight scales B A alone, as in peft: a DoRA of
    weight 0 still has its magnitudes.

    Args:
        file: a .safetensors file.
        networks: what it may adapt; changed in place.
        name: what errors call the prior.

    Raises:
        InputError: the file does not fit, is of another kind, or holds numbers that are not finite.
    """
    path = Path(file).expanduser()
    layers = layers_of(read_header(path), file)
    tensors, configs = _read(path, file)
    places = _find_all(layers, networks, file, name)
    for layer, (network, module) in zip(layers, places, strict=True):
        given = {role: tensors[key].float() for role, key in layer.keys.items()}
        try:
            scale = weight * _scale(given, configs.get(network), layer.path)
            merged = _merged(module.weight.float(), given, scale).to(module.weight.dtype)
        except ValueError as exc:
            raise InputError(
                f"LoRA {file} does not fit prior {name}: layer {layer.path} {exc}; use one made for it"
            ) from exc
        if not bool(torch.isfinite(merged).all()):
            kind = str(merged.dtype).removeprefix("torch.")
            raise InputError(
                f"LoRA {file} at weight {weight:g} makes layer {layer.path} overflow {kind}; "
                "give it a smaller weight"
            )
        module.weight.data = merged


def _read(path: Path, file: str) -> tuple[dict[str, Tensor], dict[Network, _PeftConfig]]:
    """The tensors of a file, every number finite, and what it says of alpha elsewhere."""
    with safe_open(path, framework="pt") as stream:
        tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        metadata = stream.metadata() or {}
    for key, tensor in tensors.items():
        if not (tensor.is_floating_point() or key.endswith(".alpha")):
            raise InputError(f"LoRA {file}: {key} holds whole numbers; give a LoRA that is not quantised")
        if not bool(torch.isfinite(tensor.float()).all()):
            raise InputError(f"LoRA {file}: {key} has values that are not finite; give a sound file")
    try:
        return tensors, _peft_configs(path, metadata, tensors)
    except FileNotFoundError as exc:
        raise InputError(
            f"LoRA {file} is peft's, whose alpha stands in {_CONFIG}; put that file beside it"
        ) from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise InputError(f"LoRA {file}: what it says of peft cannot be read ({exc!r})") from exc


def _merged(w: Tensor, given: Mapping[Role, Tensor], scale: float) -> Tensor:
    """The layer's new weight, in the shape of ``w``; ValueError where the matrices do not fit it."""
    down, up, mid = given["down"], given["up"], given.get("mid")
    rank = len(down)
    wanted = _without_ones(w.shape)
    kernel = down.shape[2:] if mid is None else mid.shape[2:]
    shape = _without_ones((len(up), *down.shape[1:2], *kernel))
    if shape != wanted or up[0].numel() != rank or (mid is not None and mid.shape[:2] != (rank, rank)):
        told = _TEXT_WIDTHS.get(down.shape[1] if down.dim() > 1 else 0)
        text = (
            f"; a layer that wide is of {told}" if told and len(wanted) == 2 and wanted[0] == len(up) else ""
        )
        raise ValueError(
            f"is {_times(wanted)} in the prior and {_times(shape)}, rank {rank}, in the file{text}"
        )
    if mid is None:
        change = up.flatten(1) @ down.flatten(1)
    else:  # Tucker: two 1 x 1 convolutions round a small one
        change = torch.einsum("or,rshw,si->oihw", up.flatten(1), mid, down.flatten(1))
    new = w + scale * change.reshape(w.shape)
    if "magnitude" in given:
        return _with_norms(new, given["magnitude"].flatten(), axis=0)
    if "dora_scale" in given:
        return _with_norms(new, given["dora_scale"].flatten(), axis=_dora_axis(given["dora_scale"], w))
    return new


def _dora_axis(magnitudes: Tensor, w: Tensor) -> int:
    """LyCORIS has a magnitude for each output, [out, 1, ...], or by default for each input, [1, in, ...]."""
    shape = tuple(magnitudes.shape)
    return 1 if len(shape) > 1 and shape[0] == 1 and shape[1] == w.shape[1] else 0


def _with_norms(w: Tensor, magnitudes: Tensor, axis: int) -> Tensor:
    """The weight with the norms of its slices along an axis replaced."""
    if len(magnitudes) != w.shape[axis]:
        raise ValueError(f"has {w.shape[axis]} magnitudes in the prior and {len(magnitudes)} in the file")
    shape = [1] * w.dim()
    shape[axis] = -1
    norms = w.transpose(0, axis).flatten(1).norm(dim=1).clamp_min(torch.finfo(w.dtype).tiny)
    scaled: Tensor = w * (magnitudes / norms).view(shape)
    return scaled


# -- where a layer is --


def _find_all(
    layers: list[Layer], networks: Mapping[Network, nn.Module], file: str, name: str
) -> list[tuple[Network, Any]]:
    """Network and module of each layer; InputError naming what is not there."""
    index = {network: _index(module) for network, module in networks.items()}
    found = [_find(layer, index) for layer in layers]
    there = [place for place in found if place is not None]
    if len(there) < len(layers):
        lost = [layer.path for layer, place in zip(layers, found, strict=True) if place is None]
        raise InputError(
            f"LoRA {file} does not fit prior {name}: {len(there)} of its {len(layers)} layers are there, "
            f"{lost[0]} is not; use one made for it"
        )
    if len({id(module) for _, module in there}) < len(there):
        raise InputError(f"LoRA {file} adapts a layer twice, under two names; save one adapter alone")
    return there


def _index(network: nn.Module) -> dict[str, nn.Module]:
    """Linear layers and convolutions by every name that a file may use."""
    names: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bare = name.removeprefix("text_model.")  # transformers 5 left it out of CLIPTextModel's names
            for spelled in (name, bare, f"text_model.{bare}"):
                names[spelled] = names[spelled.replace(".", "_")] = module
    return names


def _find(layer: Layer, index: Mapping[Network, Mapping[str, nn.Module]]) -> tuple[Network, nn.Module] | None:
    for network, names in index.items():
        if layer.network in (None, network) and layer.path in names:
            return network, names[layer.path]
    return None


# -- how strong it is --


@dataclass(frozen=True)
class _PeftConfig:
    """What peft's LoraConfig says of alpha."""

    alpha: float
    patterns: Mapping[str, float]
    by_root: bool
    """rsLoRA: alpha / sqrt(rank)."""

    def scale(self, path: str, rank: int) -> float:
        fits = (a for pattern, a in self.patterns.items() if re.match(rf"(.*\.)?({pattern})$", path))
        return next(fits, self.alpha) / (math.sqrt(rank) if self.by_root else rank)


def _scale(given: Mapping[Role, Tensor], config: _PeftConfig | None, path: str) -> float:
    """alpha / rank; where nothing is said of alpha it is the rank, as in kohya's and diffusers' code."""
    rank = len(given["down"])
    if "alpha" in given:
        if given["alpha"].numel() != 1:
            raise ValueError(f"has an alpha of {given['alpha'].numel()} numbers")
        return given["alpha"].item() / rank
    return config.scale(path, rank) if config else 1.0


def _peft_configs(path: Path, metadata: Mapping[str, str], keys: Iterable[str]) -> dict[Network, _PeftConfig]:
    """What peft's configs say, by network: those in a file's header, or the one beside peft's own file."""
    networks: tuple[Network, ...] = ("unet", "text_encoder")
    if _METADATA in metadata:
        tree = json.loads(metadata[_METADATA])
        parts = {n: {k[len(n) + 1 :]: v for k, v in tree.items() if k.startswith(f"{n}.")} for n in networks}
        return {n: _config(part) for n, part in parts.items() if part}
    if not any(key.startswith(PEFT_PREFIX) for key in keys):
        return {}
    return dict.fromkeys(networks, _config(json.loads(path.with_name(_CONFIG).read_text(encoding="utf-8"))))


def _config(told: Mapping[str, Any]) -> _PeftConfig:
    patterns = {str(k): float(v) for k, v in (told.get("alpha_pattern") or {}).items()}
    return _PeftConfig(float(told["lora_alpha"]), patterns, bool(told.get("use_rslora")))


def _without_ones(shape: Any) -> tuple[int, ...]:
    """A 1 x 1 convolution is a linear layer."""
    sizes = list(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
