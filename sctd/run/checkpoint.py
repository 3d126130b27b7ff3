"""Saved states of a run: one safetensors file each, complete or absent, enough to continue bit for bit.

Layout: tensors "<part>.<name>" (parts: gaussians, adam, statistics, rng), and in the file's metadata one
JSON text with the counters and a checksum of the tensors.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

FORMAT = 1
"""Rises whenever older files become unreadable."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after ``iteration`` iterations."""

    iteration: int
    tensors: dict[str, dict[str, Tensor]]
    """Tensors by part, then name."""
    counters: dict[str, Any]
    """Plain numbers and texts."""


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint into a folder, whole or not at all, then drop all but the ``keep`` latest.

    Raises:
        OSError: the disk is full or read-only; earlier checkpoints are untouched then.
    """
    tensors = {
        f"{part}.{name}": t.detach().cpu().contiguous()
        for part, named in checkpoint.tensors.items()
        for name, t in named.items()
    }
    facts = {
        "format": FORMAT,
        "iteration": checkpoint.iteration,
        "counters": checkpoint.counters,
        "crc32": _checksum(tensors),
    }
    path = folder / f"{checkpoint.iteration:07d}.safetensors"
    data = safetensors.torch.save(tensors, metadata={"sctd": json.dumps(facts)})
    write_atomically(path, data)
    for old in _newest_first(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content at one moment: a reader, or a kill, sees the old bytes or the new ones."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ValueError: the file is cut off, damaged or of another format; the message says which.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("sctd", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    except (safetensors.SafetensorError, OSError, json.JSONDecodeError) as exc:
        raise ValueError(f"{path} is damaged: {exc}") from exc
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version")
    if _checksum(tensors) != facts["crc32"]:
        raise ValueError(f"{path} is damaged: its checksum differs")
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = tensor
    return Checkpoint(facts["iteration"], parts, facts["counters"])


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that can be read, if any, and what was wrong with the newer ones."""
    problems: list[str] = []
    for path in _newest_first(folder):
        try:
            return load(path), problems
        except ValueError as exc:
            problems.append(str(exc))
    return None, problems


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.safetensors"), reverse=True)


def _checksum(tensors: dict[str, Tensor]) -> int:
    value = 0
    for key in sorted(tensors):
        value = zlib.crc32(key.encode(), value)
        value = zlib.crc32(tensors[key].reshape(-1).view(torch.uint8).numpy().data, value)
    return value
