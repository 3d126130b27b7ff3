"""A checkpoint in one .safetensors file, in the layout of the original code."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sctd.config.prior import PriorSettings
from sctd.errors import InputError
from sctd.prior.load import hub
from sctd.prior.load.architectures import write_configs, write_tokenizer
from sctd.prior.load.headers import Entry, read_header
from sctd.prior.load.parts import Parts, check_finite, one_part, quiet, read_scheduler, read_tokenizer
from sctd.prior.load.sources import NETWORKS, Source

# Which tensors of the file make up each network. Files of Stable Diffusion 2 hold what the text encoder does
# not use: its last layer, and the projection that compares texts with pictures.
_TENSORS = {
    "unet": r"model\.diffusion_model\.",
    "vae": r"first_stage_model\.(encoder|decoder|quant_conv|post_quant_conv)\.",
    "text_encoder": r"cond_stage_model\."
    r"(transformer\.(?!.*position_ids$)|model\.(?!text_projection|logit_scale|attn_mask))",
}
_LAYER = re.compile(r"cond_stage_model\.model\.transformer\.resblocks\.(\d+)\.")


@contextmanager
def config_folder(source: Source, settings: PriorSettings) -> Iterator[Path]:
    """A folder with configs for a file: the one that the settings name, or one that is gone afterwards."""
    if settings.config is not None:
        yield Path(settings.config).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="sctd-") as name:
        yield write_configs(Path(name), source.generation or "sd1", settings.prediction)


def skeleton(folder: Path, name: str) -> dict[str, nn.Module]:
    """The three networks of a folder's configs, on the meta device: shapes without weights; takes 0.3 s.

    Raises:
        InputError: a config is missing or damaged; the message names it.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def build(part: str) -> Any:
        if part == "text_encoder":
            return CLIPTextModel(CLIPTextConfig.from_pretrained(folder / part, local_files_only=True))
        cls = UNet2DConditionModel if part == "unet" else AutoencoderKL
        return cls.from_config(cls.load_config(folder, subfolder=part, local_files_only=True))

    with quiet(), torch.device("meta"):
        return {part: one_part(name, part, partial(build, part)) for part in NETWORKS}


def load_file(source: Source, settings: PriorSettings, dtype: torch.dtype) -> Parts:
    """Loads the networks with diffusers' own ``from_single_file`` and explicit configs.

    Raises:
        InputError: the file is damaged, incomplete, or of another architecture than its configs.
    """
    from diffusers import StableDiffusionPipeline

    name = source.name
    with config_folder(source, settings) as folder, quiet():
        if settings.config is None:  # asked for before the weights are read, which takes longer
            write_tokenizer(folder / "tokenizer", source.generation or "sd1", hub.clip_merges(name))
        _check_complete(read_header(source.path), skeleton(folder, name), name)
        scheduler = one_part(name, "scheduler", lambda: read_scheduler(folder, settings.prediction))
        tokenizer = one_part(name, "tokenizer", lambda: read_tokenizer(folder))
        pipeline = one_part(
            name,
            "file",
            lambda: StableDiffusionPipeline.from_single_file(
                str(source.path),
                config=str(folder),
                local_files_only=True,
                torch_dtype=dtype,
                tokenizer=tokenizer,
                scheduler=scheduler,
                safety_checker=None,
                feature_extractor=None,
            ),
        )
    networks = {part: getattr(pipeline, part) for part in NETWORKS}
    for part, network in networks.items():
        one_part(name, part, partial(check_finite, network))
    return Parts(**networks, tokenizer=tokenizer, scheduler=scheduler)


def _check_complete(header: Mapping[str, Entry], networks: Mapping[str, nn.Module], name: str) -> None:
    """Raises InputError unless the file has exactly as many numbers as each network has weights.

    ``from_single_file`` leaves what the file lacks at its random start, without a word.
    """
    for part, network in networks.items():
        layers = getattr(network.config, "num_hidden_layers", 0)
        there = sum(
            entry.count
            for key, entry in header.items()
            if re.match(_TENSORS[part], key) and not _is_past(key, layers)
        )
        wanted = sum(p.numel() for p in network.parameters())
        if there != wanted:
            raise InputError(
                f"prior {name}: its {part} is missing or damaged ({there} weights in the file, {wanted} by "
                "its configs); fetch it again, or name a diffusers folder of its architecture with "
                "--set prior.config=FOLDER"
            )


def _is_past(key: str, layers: int) -> bool:
    found = _LAYER.match(key)
    return found is not None and int(found[1]) >= layers
