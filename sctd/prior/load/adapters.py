"""LoRAs and textual inversions on top of a prior's parts."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from sctd.config.prior import PriorSettings, split_weight
from sctd.prior.load import inversion, lora
from sctd.prior.load.lora_keys import Network
from sctd.prior.load.parts import Parts


def apply(parts: Parts, settings: PriorSettings) -> Parts:
    """The parts with every LoRA and textual inversion of the settings in them, which changes them in place.

    Raises:
        InputError: a file does not fit the prior; the message names the file.
    """
    networks: dict[Network, nn.Module] = {"unet": parts.unet, "text_encoder": parts.text_encoder}
    for text in settings.loras:
        lora.merge(*split_weight(text), networks, settings.name)
    if not settings.embeddings:
        return parts
    expand = inversion.add(settings.embeddings, parts.tokenizer, parts.text_encoder, settings.name)
    return replace(parts, expand=expand)
