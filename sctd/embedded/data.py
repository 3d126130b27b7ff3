"""Traced views of a world on disk, in blocks, which can be extended.

A block depends only on the world, seed, size and number, so any number of threads, other machines or later
runs can trace it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.embedded.traced import SIZE, TracedViews, Tracing
from sctd.errors import InputError

_FACTS = "views.json"


@dataclass(frozen=True)
class Blocks:
    """Maps of many blocks, read from disk on demand; as a tensor uint8 [n, C, size, size]."""

    blocks: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = len(self.blocks[0])
        return torch.from_numpy(np.stack([self.blocks[i // rows][i % rows] for i in index.tolist()]))


def trace_blocks(
    tracing: Tracing,
    folder: Path,
    count: int,
    seed: int,
    report: Callable[[str], None],
    size: int = SIZE,
    threads: int = 0,
) -> None:
    """Trace blocks 0 to ``count`` - 1 into ``folder``; existing ones are kept.

    Args:
        tracing: of a world, :attr:`sctd.embedded.world.World.tracing`.
        threads: number of threads; 0 takes all cores.

    Raises:
        InputError: the folder holds blocks of another seed, size or world.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"seed": seed, "size": size, **tracing.facts}
    path = folder / _FACTS
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != facts:
        raise InputError(f"{folder} holds views of another seed, size or world; choose an empty folder")
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def trace(block: int) -> None:
        temporary = _path(folder, block).with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.save(file, tracing.block(seed, block, size))
        temporary.replace(_path(folder, block))

    missing = [block for block in range(count) if not _path(folder, block).exists()]
    if missing:
        report(f"scenes: tracing {len(missing) * tracing.rows} views at {size} pixels")
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:  # the tracer releases the lock
        list(pool.map(trace, missing))


def open_views(tracing: Tracing, folder: Path) -> TracedViews:
    """All blocks of a folder from 0 on that follow each other without a gap.

    Raises:
        InputError: there is no block 0, or the blocks are of another world.
    """
    path = folder / _FACTS
    if not path.exists() or not _path(folder, 0).exists():
        raise InputError(f"{folder} holds no traced views (no {_FACTS}, no {_path(folder, 0).name})")
    facts = json.loads(path.read_text(encoding="utf-8"))
    if {name: facts[name] for name in facts if name not in ("seed", "size")} != tracing.facts:
        raise InputError(f"{folder} holds views of another world; trace them anew in another folder")
    count = 0
    while _path(folder, count).exists():
        count += 1
    maps = Blocks(tuple(np.load(_path(folder, i), mmap_mode="r") for i in range(count)))
    return tracing.views(maps, facts["seed"], count)


def _path(folder: Path, block: int) -> Path:
    return folder / f"views-{block:05d}.npy"
