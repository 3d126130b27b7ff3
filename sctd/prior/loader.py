"""Finds and loads a prior: the embedded one, a folder, a single file, or a hub id."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sctd.errors import InputError
from sctd.prior import ANALYTIC, EMBEDDED
from sctd.prior.base import Prior
from sctd.prior.decoding import DecodingPrior
from sctd.prior.diffusers_prior import Parts

EMBEDDED_FOLDER = Path(__file__).resolve().parent.parent / "embedded" / "weights"

_LAYOUT = (
    "a diffusers Stable Diffusion folder (model_index.json, unet, vae, text_encoder, tokenizer, scheduler)"
)


def load(spec: str, device: str | torch.device, dtype: torch.dtype | None) -> Prior:
    """See :func:`sctd.prior.load_prior`."""
    where = _device(device)
    kind = dtype or (torch.float32 if where.type == "cpu" else torch.float16)
    if spec == ANALYTIC:
        from sctd.prior.toy import toy_prior

        return toy_prior(where, kind)
    if spec == EMBEDDED:
        from sctd.embedded.world import check_prompt

        if not EMBEDDED_FOLDER.is_dir():
            raise InputError(
                f"the embedded prior's weights are missing ({EMBEDDED_FOLDER}); "
                "reinstall sctd or give --prior FOLDER"
            )
        parts = load_folder(EMBEDDED_FOLDER, EMBEDDED, kind)
        return DecodingPrior(parts, EMBEDDED, where, kind, prompt_check=check_prompt)
    return DecodingPrior(_find(spec, kind), spec, where, kind)


def _device(device: str | torch.device) -> torch.device:
    try:
        where = torch.device(device)
    except RuntimeError as exc:
        raise InputError(f"device {device!r} is unknown; use cpu or cuda") from exc
    if where.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda: torch finds no CUDA device here; use --device cpu")
    return where


def _find(spec: str, dtype: torch.dtype) -> Parts:
    """Folder, file or hub id, in this order."""
    path = Path(spec).expanduser()
    if spec.strip() and path.is_dir():  # Path("") is the working directory
        return load_folder(path, spec, dtype)
    if path.suffix in (".safetensors", ".ckpt", ".pt", ".bin"):
        return _load_file(path, spec, dtype)
    owner, slash, model = spec.partition("/")
    if not (owner and slash and model) or "/" in model or spec.startswith((".", "~")):
        raise InputError(
            f"prior {spec!r} is no folder and no hub id; give {EMBEDDED!r}, {_LAYOUT}, "
            "a .safetensors file, or a hub id such as owner/model"
        )
    return load_folder(_download(spec), spec, dtype)


def load_folder(folder: Path, name: str, dtype: torch.dtype) -> Parts:
    """Loads the five parts of a Stable Diffusion folder; reads safetensors only, fetches nothing.

    Raises:
        InputError: a part is missing, damaged or incomplete; the message names it.
    """
    _check_index(folder, name)
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    with quiet():
        return Parts(
            # a DDIM scheduler reads the noise levels and prediction type of any scheduler's config
            scheduler=_part(
                name, "scheduler", lambda: DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
            ),
            tokenizer=_part(name, "tokenizer", lambda: _tokenizer(CLIPTokenizer, folder)),
            text_encoder=_part(
                name, "text_encoder", lambda: _weights(CLIPTextModel, folder, "text_encoder", dtype)
            ),
            vae=_part(name, "vae", lambda: _weights(AutoencoderKL, folder, "vae", dtype)),
            unet=_part(name, "unet", lambda: _weights(UNet2DConditionModel, folder, "unet", dtype)),
        )


def _check_index(folder: Path, name: str) -> None:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"prior {name}: no model_index.json in it; expected {_LAYOUT}") from exc
    except (OSError, ValueError) as exc:
        raise InputError(
            f"prior {name}: model_index.json cannot be read ({_line(exc)}); fetch it again"
        ) from exc
    wanted = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    missing = [part for part in wanted if not (folder / part).is_dir()]
    extra = [part for part in ("text_encoder_2", "transformer") if part in index]
    if missing or extra:
        reason = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(extra)}"
        raise InputError(f"prior {name} {reason}; expected {_LAYOUT}, Stable Diffusion 1.x or 2.x")


def _part(name: str, part: str, make: Any) -> Any:
    """Runs a loader and turns whatever it raises into one line naming the part."""
    try:
        return make()
    except InputError:
        raise
    except Exception as exc:  # loaders raise OSError, ValueError, KeyError, SafetensorError, TypeError, ...
        raise InputError(
            f"prior {name}: its {part} is missing or damaged ({_line(exc)}); "
            "restore it or choose another prior"
        ) from exc


def _tokenizer(cls: Any, folder: Path) -> Any:
    tokenizer = cls.from_pretrained(folder / "tokenizer", local_files_only=True)
    # without its vocabulary file transformers 5 makes a tokenizer of a few special tokens and says nothing
    if len(tokenizer) < 100 or tokenizer.model_max_length > 10_000:
        raise ValueError(f"{len(tokenizer)} tokens, length {tokenizer.model_max_length}")
    return tokenizer


def _weights(cls: Any, folder: Path, part: str, dtype: torch.dtype) -> nn.Module:
    """A network with every one of its weights present and finite.

    The dtype is given even for a CPU: left to itself transformers 5 keeps half precision, which fails there.
    """
    plain = any((folder / part).glob("*.safetensors")) and any(
        ".fp16." not in path.name for path in (folder / part).glob("*.safetensors")
    )
    module, report = cls.from_pretrained(
        folder,
        subfolder=part,
        torch_dtype=dtype,
        use_safetensors=True,
        variant=None if plain else "fp16",
        local_files_only=True,
        output_loading_info=True,
        **({"low_cpu_mem_usage": False} if part != "text_encoder" else {}),
    )
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing or report.get("mismatched_keys"):
        raise ValueError(
            f"{len(missing)} weights missing, first {missing[:1]}; mismatched {report['mismatched_keys']}"
        )
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{key} has values that are not finite")
    return module  # type: ignore[no-any-return]


def _load_file(path: Path, name: str, dtype: torch.dtype) -> Parts:
    if path.suffix != ".safetensors":
        raise InputError(
            f"prior {name}: {path.suffix} files can run code when read; give a .safetensors file"
        )
    if not path.is_file():
        raise InputError(f"prior {name}: no such file")
    from diffusers import StableDiffusionPipeline

    with quiet():
        pipeline = _part(
            name,
            "file",
            lambda: StableDiffusionPipeline.from_single_file(
                str(path), torch_dtype=dtype, safety_checker=None
            ),
        )
    return Parts(pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.tokenizer, pipeline.scheduler)


def _download(spec: str) -> Path:
    """The hub's snapshot folder of a pipeline, from the cache or fetched."""
    from diffusers import StableDiffusionPipeline

    try:
        return Path(StableDiffusionPipeline.download(spec, use_safetensors=True))
    except Exception as exc:  # hub, network and file errors have no common base
        raise InputError(
            f"prior {spec}: not found in the cache or on the hub ({_line(exc)}); "
            f"check the id and the network, give {_LAYOUT}, or use --prior {EMBEDDED}"
        ) from exc


def _line(exc: BaseException) -> str:
    """The error's first line, shortened."""
    text = str(exc).strip().splitlines()
    line = text[0] if text else type(exc).__name__
    return line if len(line) <= 160 else line[:157] + "..."


@contextmanager
def quiet() -> Iterator[None]:
    """Loading bars and advice of the libraries stay off the terminal: our own progress bar is there."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    logs = (diffusers_log, transformers_log)
    levels = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity_error()
    bars = transformers_log.is_progress_bar_enabled()
    transformers_log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        if bars:
            transformers_log.enable_progress_bar()
