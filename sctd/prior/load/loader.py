"""Finds and loads a prior: the embedded one, a folder, a single file, or a hub id."""

from __future__ import annotations

from pathlib import Path

import torch

from sctd.config.prior import ANALYTIC, EMBEDDED, PriorSettings
from sctd.errors import InputError
from sctd.machine import device as devices
from sctd.prior import vae
from sctd.prior.base import Prior
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.load import adapters, hub, sources
from sctd.prior.load.parts import Parts, load_folder
from sctd.prior.load.single_file import load_file
from sctd.prior.load.sources import Source


def load(spec: str | PriorSettings, device: str | torch.device, dtype: torch.dtype | None) -> Prior:
    """See :func:`sctd.prior.load_prior`."""
    settings = PriorSettings().model_copy(update={"name": spec}) if isinstance(spec, str) else spec
    where = devices.resolve(device)
    kind = dtype or default_dtype(where)
    if settings.name == ANALYTIC:
        from sctd.prior.toy import toy_prior

        return toy_prior(where, kind)
    if settings.cuda_graphs and where.type != "cuda":
        raise InputError(f"prior.cuda_graphs works on CUDA only, the device is {where.type}; leave it off")
    parts = _parts(sources.find(settings), settings, kind)
    parts = adapters.apply(parts, settings)
    parts = vae.replace(parts, settings, kind)
    check = None
    if settings.name == EMBEDDED:
        from sctd.embedded.world import world_of

        check = world_of().check_prompt
    return DiffusersPrior(parts, settings.name, where, kind, check, settings)


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, where torch has no fast half precision; float16 on a GPU, what the models ship in."""
    return torch.float32 if device.type == "cpu" else torch.float16


def _parts(source: Source, settings: PriorSettings, dtype: torch.dtype) -> Parts:
    if source.kind == "file":
        return load_file(source, settings, dtype)
    folder = source.path
    if source.kind == "hub":
        folder = hub.folder_of(source.name, dtype)
        sources.check_folder(folder, source.name)
    return load_folder(folder, settings.name, dtype, settings.prediction)


def folder_with_configs(source: Source) -> Path | None:
    """A folder with the configs of a folder or of a hub id that is in the cache, else None."""
    if source.kind == "folder":
        return source.path
    for repository in hub.candidates(source.name) if source.kind == "hub" else ():
        cached = hub.cached_folder(repository, configs_only=True)
        if cached is not None:
            return cached
    return None
