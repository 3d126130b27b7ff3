"""LoRAs and textual inversions, loaded by diffusers on top of a prior's parts."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from sctd.errors import InputError
from sctd.prior.headers import read_header
from sctd.prior.parts import Parts, first_sentence, quiet
from sctd.prior.settings import PriorSettings, split_weight, split_word

# The first of the two matrices of each adapted layer, as peft, kohya's scripts and old diffusers name it.
_FIRST_MATRIX = re.compile(r"(lora_A|lora_down|lora\.down)\.weight$")


def apply(parts: Parts, settings: PriorSettings) -> Parts:
    """The parts with every LoRA and textual inversion of the settings in them.

    Raises:
        InputError: peft is missing, or a file does not fit the prior; the message names the file.
    """
    if not settings.loras and not settings.embeddings:
        return parts
    from diffusers import StableDiffusionPipeline

    with quiet():
        pipeline = StableDiffusionPipeline(
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            scheduler=parts.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        for text in settings.loras:
            _merge_lora(pipeline, *split_weight(text), settings.name)
        for text in settings.embeddings:
            _add_embedding(pipeline, *split_word(text), settings.name)
    if not settings.embeddings:
        return parts
    return replace(parts, expand=lambda text: str(pipeline.maybe_convert_prompt(text, pipeline.tokenizer)))


def _merge_lora(pipeline: Any, file: str, weight: float, name: str) -> None:
    """W <- W + weight * scale * B A in each layer that the file adapts; Hu et al. 2021, LoRA, section 4.1."""
    if importlib.util.find_spec("peft") is None:
        raise InputError(
            f"LoRA {file}: diffusers reads LoRAs with the package peft; pip install 'sctd[lora]'"
        )
    path = Path(file).expanduser()
    wanted = sum(bool(_FIRST_MATRIX.search(key)) for key in read_header(path))
    try:
        pipeline.load_lora_weights(
            str(path.parent),
            weight_name=path.name,
            adapter_name="sctd",
            use_safetensors=True,
            local_files_only=True,
        )
    except Exception as exc:  # peft and diffusers raise ValueError, RuntimeError, KeyError, ...
        raise InputError(
            f"LoRA {file} does not fit prior {name} ({first_sentence(exc)}); use one made for it"
        ) from exc
    layers = [layer for part in (pipeline.unet, pipeline.text_encoder) for layer in part.modules()]
    fitted = sum("sctd" in getattr(layer, "lora_A", ()) for layer in layers)
    if fitted == 0 or fitted != wanted:
        raise InputError(
            f"LoRA {file} does not fit prior {name}: {fitted} of its {wanted} layers are there; "
            "use one made for it"
        )
    pipeline.fuse_lora(lora_scale=weight)
    pipeline.unload_lora_weights()


def _add_embedding(pipeline: Any, file: str, word: str | None, name: str) -> None:
    """A new word with vectors of its own; Gal et al. 2022, "An image is worth one word"."""
    path = Path(file).expanduser()
    if word is None and "emb_params" in read_header(path):
        raise InputError(f"textual inversion {file} does not name its word; give it as {file}:WORD")
    try:
        pipeline.load_textual_inversion(
            str(path.parent), weight_name=path.name, token=word, use_safetensors=True, local_files_only=True
        )
    except Exception as exc:
        raise InputError(
            f"textual inversion {file} does not fit prior {name} ({first_sentence(exc)}); use one made for it"
        ) from exc
