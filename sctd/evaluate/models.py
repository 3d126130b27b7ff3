"""Loads the networks that judge pictures, through transformers: safetensors only, with every weight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sctd.errors import InputError
from sctd.prior.load.parts import first_sentence, pass_on, quiet

_WANTED = (
    "give a folder in transformers' layout (config, tokenizer, preprocessor and .safetensors weights), "
    "or a hub id that can be reached"
)


def architecture(folder: Path, option: str) -> str:
    """The class that a checkpoint folder's config.json names.

    Raises:
        InputError: it has no such file, or the file names none.
    """
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(told["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as exc:
        raise InputError(f"{option} {folder}: no config.json that names an architecture; {_WANTED}") from exc


def cut(processor: Any, texts: Sequence[str], length: int) -> list[str]:
    """Texts with more than ``length`` tokens, whose ends a judge does not read."""
    ids = processor.tokenizer(list(texts), truncation=False, verbose=False).input_ids
    return [text for text, tokens in zip(texts, ids, strict=True) if len(tokens) > length]


def load(model: Any, processor: Any, spec: str, option: str) -> tuple[Any, Any]:
    """A model with all its weights, in float32 and evaluation mode, and its processor.

    Args:
        model, processor: classes of transformers.
        spec: a folder, or a hub id.
        option: names the source in messages.

    Raises:
        InputError: it cannot be found or read, weights are missing, or the tokenizer has no vocabulary.
    """
    import torch

    folder = Path(spec).expanduser()
    if not folder.is_dir():
        folder = _download(spec, option)
    try:
        with quiet():
            made = processor.from_pretrained(folder, local_files_only=True)
            network, report = model.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                torch_dtype=torch.float32,
                output_loading_info=True,
            )
        missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
        if missing:
            raise ValueError(f"{len(missing)} weights are missing, first {missing[0]}")
        if len(made.tokenizer) < 100:  # without its vocabulary file transformers 5 makes one of a few marks
            raise ValueError(f"its tokenizer has {len(made.tokenizer)} tokens")
    except Exception as exc:  # loaders have no common base for what they raise
        pass_on(exc)
        raise InputError(f"{option} {spec}: cannot be loaded ({first_sentence(exc)}); {_WANTED}") from exc
    return network.eval(), made


def _download(spec: str, option: str) -> Path:
    """The snapshot of a hub id, from the cache or fetched, in one go: file by file every single one would be
    tried again and again without a network."""
    if spec.count("/") != 1 or spec.startswith((".", "/", "~")) or spec.endswith("/"):
        raise InputError(f"{option} {spec}: no such folder, and no hub id such as owner/model; {_WANTED}")
    import logging as levels

    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(levels.CRITICAL)
    try:
        return Path(snapshot_download(spec, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except Exception as exc:  # hub, network and file errors have no common base
        why = f"not in the cache, and the hub did not give it ({first_sentence(exc)})"
        raise InputError(f"{option} {spec}: {why}; {_WANTED}") from exc
    finally:
        logging.set_verbosity(level)
