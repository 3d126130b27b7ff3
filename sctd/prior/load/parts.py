"""The modules of a Stable Diffusion pipeline, and how each is read from a folder in diffusers' layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from sctd.errors import InputError, SctdError, out_of_memory
from sctd.prior.load import variants


@dataclass(frozen=True)
class Parts:
    """The modules of a Stable Diffusion pipeline, as diffusers and transformers load them."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    expand: Callable[[str], str] = str
    """Rewrites a text for the tokenizer: a textual inversion of n vectors stands for n tokens."""


def load_folder(folder: Path, name: str, dtype: torch.dtype, prediction: str = "auto") -> Parts:
    """Loads the five parts of a Stable Diffusion folder; reads safetensors only, fetches nothing.

    Args:
        name: what errors call the prior.
        prediction: what the UNet predicts; auto: what the scheduler's config says.

    Raises:
        InputError: a part is missing, damaged or incomplete; the message names it.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    with quiet():
        return Parts(
            scheduler=one_part(name, "scheduler", lambda: read_scheduler(folder, prediction)),
            tokenizer=one_part(name, "tokenizer", lambda: read_tokenizer(folder)),
            text_encoder=one_part(
                name, "text_encoder", lambda: read_network(CLIPTextModel, folder, "text_encoder", dtype)
            ),
            vae=one_part(name, "vae", lambda: read_network(AutoencoderKL, folder, "vae", dtype)),
            unet=one_part(name, "unet", lambda: read_network(UNet2DConditionModel, folder, "unet", dtype)),
        )


def one_part(name: str, part: str, make: Callable[[], Any]) -> Any:
    """Runs a loader and turns whatever it raises into one line naming the part."""
    try:
        return make()
    except InputError:
        raise
    except Exception as exc:  # loaders raise OSError, ValueError, KeyError, SafetensorError, TypeError, ...
        pass_on(exc)
        raise InputError(
            f"prior {name}: its {part} is missing or damaged ({first_sentence(exc)}); "
            "restore it or choose another prior"
        ) from exc


def pass_on(exc: Exception) -> None:
    """Raises what is no file's fault: memory that ran out, a package that is not there, no right to read.

    Raises:
        MemoryError, InputError, SctdError: instead of the loader's error.
    """
    if out_of_memory(exc):
        raise MemoryError from exc
    if isinstance(exc, PermissionError):
        raise InputError(f"{exc.filename} cannot be read: permission denied; ask for the right to") from exc
    if isinstance(exc, ImportError):
        raise SctdError(f"a package is missing here ({first_sentence(exc)}); install sctd again") from exc


def read_scheduler(folder: Path, prediction: str = "auto") -> Any:
    """DDIM's has the noise levels and the prediction type of each config that :func:`.noise.check` passes."""
    from diffusers import DDIMScheduler

    told = {} if prediction == "auto" else {"prediction_type": prediction}
    return DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True, **told)


def read_tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer, complete."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    # without its files transformers 5 makes a tokenizer of a few marks, or of letters, and says nothing
    if len(tokenizer) < 100:
        raise ValueError(f"its vocabulary has {len(tokenizer)} tokens")
    if tokenizer.model_max_length > 10_000:
        raise ValueError("no tokenizer_config.json with a model_max_length")
    if tokenizer.pad_token_id is None:
        raise ValueError("it names no pad_token")
    if not _merges_fit(tokenizer):
        raise ValueError("its merges do not make the words of its vocabulary")
    return tokenizer


def _merges_fit(tokenizer: Any) -> bool:
    """Whether most of the vocabulary's last words, which need the most merges, become one token each."""
    by_number = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [token for token, _ in by_number if re.fullmatch(r"[a-z]{2,}</w>", token)][-20:]
    whole = sum(tokenizer.tokenize(word.removesuffix("</w>")) == [word] for word in words)
    return bool(2 * whole >= len(words))


def read_network(cls: Any, folder: Path, part: str, dtype: torch.dtype) -> nn.Module:
    """A network with every one of its weights present and finite.

    The dtype is given even for a CPU: left to itself transformers 5 keeps half precision, which fails there.
    """
    variant = variants.chosen(path.name for path in (folder / part).glob("*.safetensors"))
    module, report = cls.from_pretrained(
        folder,
        subfolder=part,
        torch_dtype=dtype,
        use_safetensors=True,
        variant=variant or None,
        local_files_only=True,
        output_loading_info=True,
        **({"low_cpu_mem_usage": False} if part != "text_encoder" else {}),
    )
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing or report.get("mismatched_keys"):
        raise ValueError(
            f"{len(missing)} weights missing, first {missing[:1]}; mismatched {report['mismatched_keys']}"
        )
    check_all_used(report["unexpected_keys"], part)
    check_finite(module)
    return module  # type: ignore[no-any-return]


def check_all_used(unexpected: Iterable[str], part: str) -> None:
    """Raises ValueError for weights that the network has no place for: it is another architecture, or more.

    A text encoder's file may also hold what compares texts with pictures.
    """
    extra = r".*(position_ids|text_projection.*|logit_scale|visual_projection.*)|(clip\.)?vision_model\..*"
    extra = extra if part == "text_encoder" else r"(?!)"
    unknown = sorted(key for key in unexpected if not re.fullmatch(extra, key))
    if unknown:
        raise ValueError(f"{len(unknown)} weights have no place in its config, first {unknown[0]}")


def check_finite(module: nn.Module) -> None:
    """Raises ValueError for a weight that is NaN or infinite."""
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{key} has values that are not finite")


def first_sentence(exc: BaseException) -> str:
    """What an error says first, shortened; the advice that loaders give behind it is for other programs."""
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return shorten(lines[0].split(". ")[0].rstrip("."), 160, placeholder=" ...")


@contextmanager
def quiet() -> Iterator[None]:
    """Loading bars and advice of the libraries stay off the terminal: our own progress bar is there."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    logs = (diffusers_log, transformers_log)
    levels = [log.get_verbosity() for log in logs]
    bars = [log.is_progress_bar_enabled() for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level, bar in zip(logs, levels, bars, strict=True):
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
