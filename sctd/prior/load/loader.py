"""Finds and loads a prior: the embedded one, a folder, a single file, or a hub id."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from sctd.config.prior import PriorSettings
from sctd.errors import InputError
from sctd.machine import device as devices
from sctd.prior import families, vae
from sctd.prior.base import Prior
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.load import adapters, hub, sources
from sctd.prior.load.parts import load_folder
from sctd.prior.load.single_file import load_file
from sctd.prior.load.sources import Source
from sctd.registry import named


def load(spec: str | PriorSettings, device: str | torch.device, dtype: torch.dtype | None) -> Prior:
    """See :func:`sctd.prior.load_prior`."""
    settings = PriorSettings().model_copy(update={"name": spec}) if isinstance(spec, str) else spec
    where = devices.resolve(device)
    kind = dtype or default_dtype(where)
    source = sources.find(settings)
    if source.kind == "hub":
        folder = hub.folder_of(source.name, kind)
        source = Source("folder", source.name, folder, sources.check_folder(folder, source.name))
    assert source.family is not None
    assert source.family.make is not None  # such ones are refused before
    prior: Prior = named(source.family.make)(settings, source, where, kind)
    return prior


def stable_diffusion(
    settings: PriorSettings, source: Source, where: torch.device, kind: torch.dtype
) -> Prior:
    """A prior in diffusers' layout of Stable Diffusion 1.x or 2.x, the embedded one among them.

    Raises:
        InputError: as :func:`load`.
    """
    if settings.cuda_graphs and where.type != "cuda":
        raise InputError(f"prior.cuda_graphs works on CUDA only, the device is {where.type}; leave it off")
    parts = (
        load_file(source, settings, kind)
        if source.kind == "file"
        else load_folder(source.path, settings.name, kind, settings.prediction)
    )
    parts = adapters.apply(parts, settings)
    parts = vae.replace(parts, settings, kind)
    check = partial(families.check_prompt, settings.name)
    return DiffusersPrior(parts, settings.name, where, kind, check, settings)


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, where torch has no fast half precision; float16 on a GPU, what the models ship in."""
    return torch.float32 if device.type == "cpu" else torch.float16


def folder_with_configs(source: Source) -> Path | None:
    """A folder with the configs of a folder or of a hub id that is in the cache, else None."""
    if source.kind == "folder":
        return source.path
    for repository in hub.candidates(source.name) if source.kind == "hub" else ():
        cached = hub.cached_folder(repository, configs_only=True)
        if cached is not None:
            return cached
    return None
