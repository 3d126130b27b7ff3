"""Hub ids: from the local cache, or fetched, with mirrors; never a silent wait."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from sctd.config.prior import EMBEDDED, SD21_BASE
from sctd.errors import InputError
from sctd.prior.load import variants
from sctd.prior.load.parts import first_sentence
from sctd.prior.load.sources import LAYOUT, NETWORKS

# stabilityai/ removed Stable Diffusion 2 from the hub in November 2025; these hold the same files.
MIRRORS = (SD21_BASE, "Manojb/stable-diffusion-2-1-base")
ORIGINAL = "stabilityai/stable-diffusion-2-1-base"
SECONDS = 4.0
"""How long the hub may take to answer whether it has a repository."""
CLIP = "openai/clip-vit-large-patch14"
"""Repository of CLIP, whose tokenizer every Stable Diffusion 1.x and 2.x reads texts with."""
_CONFIGS = ["model_index.json", "*/*.json", "tokenizer/*.txt"]


def candidates(name: str) -> tuple[str, ...]:
    """Repositories to try for a hub id, in order."""
    if name == ORIGINAL or name in MIRRORS:
        return (name, *(mirror for mirror in MIRRORS if mirror != name))
    return (name,)


def folder_of(name: str, dtype: torch.dtype) -> Path:
    """The snapshot folder of a hub id: from the cache, or fetched.

    HF_HUB_OFFLINE=1 looks into the cache alone; HF_HOME and HF_ENDPOINT are honoured.

    Raises:
        InputError: no candidate is in the cache or on the hub; says what was tried and what else there is.
    """
    for repository in candidates(name):
        cached = cached_folder(repository)
        if cached is not None:
            return cached
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        looked = " and ".join(candidates(name))
        raise _unreachable(name, [f"{looked} in the cache only, since HF_HUB_OFFLINE is set"])
    tried = []
    for repository in candidates(name):
        try:
            return _fetch(repository, dtype)
        except Exception as exc:  # hub, network and file errors have no common base
            tried.append(f"{repository} ({first_sentence(exc)})")
            if not _is_answer(exc):
                break  # no network: the next mirror would only wait as long
    raise _unreachable(name, tried)


def cached_folder(repository: str, *, configs_only: bool = False) -> Path | None:
    """The repository's snapshot in the local cache if the pipeline in it is whole; asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    if not (folder / "model_index.json").is_file():
        return None
    needed = "config.json" if configs_only else "*.safetensors"
    return folder if all(any((folder / part).glob(needed)) for part in NETWORKS) else None


def clip_merges(name: str) -> str:
    """CLIP's merges.txt, which a single file lacks: from the cache, or fetched (0.5 MB).

    Args:
        name: the prior's, for the message.

    Raises:
        InputError: it is neither in the cache nor on the hub; says what else there is.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    path = try_to_load_from_cache(CLIP, "merges.txt")
    try:
        if not isinstance(path, str):
            path = hf_hub_download(CLIP, "merges.txt", etag_timeout=SECONDS)
        return Path(path).read_text(encoding="utf-8")
    except Exception as exc:  # hub, network and file errors have no common base
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else first_sentence(exc)
        raise InputError(
            f"prior {name}: a single file has no tokenizer, and that of {CLIP} is neither in the cache nor "
            f"on the hub ({why}); give a diffusers folder that has one with --set prior.config=FOLDER"
        ) from exc


def _fetch(repository: str, dtype: torch.dtype) -> Path:
    """Asks what there is, then fetches configs, tokenizer and one set of safetensors weights."""
    from huggingface_hub import HfApi, snapshot_download

    files = [s.rfilename for s in HfApi().model_info(repository, timeout=SECONDS).siblings or []]
    patterns = [*_CONFIGS, *wanted_weights(files, half=dtype != torch.float32)]
    return Path(snapshot_download(repository, allow_patterns=patterns, etag_timeout=SECONDS))


def wanted_weights(files: Sequence[str], half: bool) -> list[str]:
    """One set of weights for each network: the half-precision variant when it will do, else the full one.

    Raises:
        InputError: a network has no safetensors weights there.
    """
    wanted = []
    for part in NETWORKS:
        names = [f.removeprefix(f"{part}/") for f in files if f.startswith(f"{part}/")]
        variant = variants.chosen(names, first="fp16" if half else variants.PLAIN)
        if variant is None:
            raise InputError(f"it has no .safetensors weights of its {part}")
        wanted += [f"{part}/{name}" for name in variants.sets_of(names)[variant]]
    return wanted


def _is_answer(exc: BaseException) -> bool:
    """Whether a hub answered (no such repository, no right to it), rather than nothing at all."""
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(exc, InputError | HfHubHTTPError)


def _unreachable(name: str, tried: Sequence[str]) -> InputError:
    return InputError(
        f"prior {name} is neither in the cache nor on the hub; tried {'; '.join(tried)}; "
        f"check the id and the network, give {LAYOUT}, a .safetensors file, or use --prior {EMBEDDED}"
    )
