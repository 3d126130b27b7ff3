"""The keys of a LoRA file: which layer of which network each tensor adapts, and as what. No torch.

They are named differently by kohya's scripts and LyCORIS ("lora_unet_down_blocks_0_...lora_down.weight"), by
peft ("base_model.model. ... .lora_A.weight"), by diffusers ("unet. ... .lora_A.weight") and by diffusers
before peft ("unet. ... .processor.to_q_lora.down.weight").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sctd.errors import InputError
from sctd.prior.load.headers import Entry

Role = Literal["down", "up", "mid", "alpha", "dora_scale", "magnitude"]
Network = Literal["unet", "text_encoder"]

# How a key ends, after the name of the layer. ".default" is the name that peft gives an adapter.
_OLD = r"(?:[._]lora|\.lora_linear_layer)"
_ROLES: Mapping[Role, str] = {
    "down": rf"(?:{_OLD}\.down|\.lora_down|\.lora_A(?:\.default)?)\.weight",
    "up": rf"(?:{_OLD}\.up|\.lora_up|\.lora_B(?:\.default)?)\.weight",
    "mid": r"\.lora_mid\.weight",
    "alpha": rf"{_OLD}?\.alpha",
    "dora_scale": r"\.dora_scale",
    "magnitude": r"\.lora_magnitude_vector(?:\.default)?(?:\.weight)?",
}
_ROLE_OF = {role: re.compile(rf"(?P<layer>.+?){ending}") for role, ending in _ROLES.items()}

# What a key starts with: the network, None where it may be either, and whether dots became underscores.
_PREFIXES: Mapping[str, tuple[Network | None, bool]] = {
    "lora_unet_": ("unet", True),
    "lora_te1_": ("text_encoder", True),
    "lora_te_": ("text_encoder", True),
    "unet.": ("unet", False),
    "text_encoder.": ("text_encoder", False),
    "base_model.model.": (None, False),
    "": (None, False),  # diffusers' first files, of the UNet alone
}
PEFT_PREFIX = "base_model.model."
"""Of peft's own files, which keep alpha in a file beside them."""

# Diffusers before peft named four layers after their role.
_OLD_LAYERS: Mapping[str, str] = {
    r"\.processor(?=\.|$)": "",
    r"(attn\d\.to_out)$": r"\1.0",
    r"(self_attn)\.to_([qkv])$": r"\1.\2_proj",
    r"(self_attn)\.to_out$": r"\1.out_proj",
}

# Keys that only a LoRA for another base has.
_OTHER_BASES: Mapping[str, str] = {
    "Stable Diffusion XL": r"lora_te2_|text_encoder_2\.|lora_unet_(input|middle|output)_block|"
    r".*(add_embedding|label_emb)|.*attentions[._]\d+[._]transformer_blocks[._][1-9]",
    "Flux": r"(lora_unet_|lora_transformer_|transformer\.|diffusion_model\.)?"
    r"(double|single)_(blocks|transformer)",
    "Stable Diffusion 3": r"(lora_unet_|diffusion_model\.)?joint_blocks|lora_te3_|text_encoder_3\.",
    "a transformer model": r"(lora_)?transformer[._]",
}

# Keys of adapters that are no LoRA; Yeh et al. 2024 (LyCORIS) and peft describe them.
OTHER_KINDS: Mapping[str, str] = {
    "LoHa": r"\.(hada|loha)_",
    "LoKr": r"\.lokr_",
    "(IA)^3": r"\.ia3_|\.on_input$",
    "OFT or BOFT": r"\.b?oft_",
    "GLoRA": r"\.[ab][12]\.weight$|\.bm\.weight$|\.glora_",
    "full differences of weights": r"\.diff(_[bg])?$",
    "changes of norm layers": r"\.[wb]_norm$",
    "VeRA": r"\.vera_",
    "a LoRA of embeddings": r"\.lora_embedding_",
    "a LoRA with biases": r"\.(lora_[AB](\.default)?|lora_up|lora_down)\.bias$|\.bias_(indices|values|size)$",
}


@dataclass
class Layer:
    """One adapted layer: where it is, and the file's keys for it."""

    network: Network | None
    """None: whichever has it."""
    path: str
    flat: bool
    """Whether the path's dots are underscores."""
    keys: dict[Role, str] = field(default_factory=dict)


def layers_of(header: Mapping[str, Entry], file: str) -> list[Layer]:
    """The layers that a file adapts, each with both of its matrices.

    Raises:
        InputError: it is for another base model, of another kind, incomplete or empty; one line names what.
    """
    for base, pattern in _OTHER_BASES.items():
        if found := next((key for key in header if re.match(pattern, key)), None):
            raise InputError(
                f"LoRA {file} does not fit: it is for {base} (it has {found}); use one made for the prior"
            )
    layers: dict[str, Layer] = {}
    for key in header:
        start, role = _split(key, file)
        layer = layers.setdefault(start, _place(start))
        if role in layer.keys:
            raise InputError(
                f"LoRA {file} has two tensors for the same place: {layer.keys[role]} and {key}; "
                "save one adapter alone"
            )
        layer.keys[role] = key
    if not layers:
        raise InputError(f"LoRA {file} holds no tensors; fetch it again")
    for start, layer in layers.items():
        if lacking := [role for role in ("down", "up") if role not in layer.keys]:
            raise InputError(
                f"LoRA {file} is incomplete: layer {start} lacks its {' and '.join(lacking)} matrix; "
                "fetch it again"
            )
    return list(layers.values())


def _split(key: str, file: str) -> tuple[str, Role]:
    """What stands before the role, and the role."""
    for role, pattern in _ROLE_OF.items():
        if found := pattern.fullmatch(key):
            return found["layer"], role
    for kind, ending in OTHER_KINDS.items():
        if re.search(ending, key):
            raise InputError(
                f"LoRA {file} is of another kind: {kind} (it has {key}); sctd merges LoRA, LoCon and DoRA"
            )
    raise InputError(
        f"LoRA {file} has a tensor that belongs to no LoRA, LoCon or DoRA: {key}; "
        "give a LoRA as kohya's scripts, peft or diffusers write it"
    )


def _place(start: str) -> Layer:
    prefix = next(p for p in _PREFIXES if start.startswith(p))
    network, flat = _PREFIXES[prefix]
    path = start[len(prefix) :]
    if not flat:
        for old, new in _OLD_LAYERS.items():
            path = re.sub(old, new, path)
    return Layer(network, path, flat)
