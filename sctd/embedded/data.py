"""Traced views on disk: light maps of every kind from cameras all round it, in blocks, which can be extended.

A picture gets its colour, pattern and background when it is used (``pictures.compose``), so that one traced
view serves many pictures. A block depends only on seed, size and number, so any number of threads, other
machines or later runs can trace it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.embedded.pictures import KIND_NAMES, SIZE, Lights, Poses, Views, trace_poses
from sctd.embedded.scenes import CHANNELS
from sctd.errors import InputError

PER_KIND = 8  # views of each kind in a block
BLOCK = PER_KIND * len(KIND_NAMES)
# The trainer's cameras (settings.CameraSettings: 3.1-3.5, 40 degrees, -8 to 45 degrees, now and then up to
# 80) and a little more on every side, so that none of them lies at the edge of the training data.
RADIUS, FOV_DEG = (3.0, 3.6), (38.0, 43.0)
ELEVATION_DEG, HIGH_DEG, HIGH_SHARE = (-12.0, 48.0), (48.0, 85.0), 0.2
_FACTS = "views.json"


def block_poses(seed: int, block: int) -> Poses:
    """The cameras of a block, [BLOCK], kind after kind."""
    rng = np.random.default_rng([seed, block])
    high = rng.random(BLOCK) < HIGH_SHARE
    elevation = np.where(high, rng.uniform(*HIGH_DEG, BLOCK), rng.uniform(*ELEVATION_DEG, BLOCK))
    numbers = (
        rng.uniform(-math.pi, math.pi, BLOCK),
        np.radians(elevation),
        rng.uniform(*RADIUS, BLOCK),
        np.radians(rng.uniform(*FOV_DEG, BLOCK)),
    )
    return Poses(*(torch.from_numpy(x).float() for x in numbers))


@dataclass(frozen=True)
class Blocks:
    """Maps of many blocks, read from disk on demand; as a tensor uint8 [n, 8, size, size]."""

    blocks: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return BLOCK * len(self.blocks)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = [self.blocks[i // BLOCK][i % BLOCK] for i in index.tolist()]
        return torch.from_numpy(np.stack(rows))


def trace_blocks(
    folder: Path, count: int, seed: int, report: Callable[[str], None], size: int = SIZE, threads: int = 0
) -> None:
    """Trace blocks 0 to ``count`` - 1 into ``folder``; existing ones are kept.

    Args:
        threads: number of threads; 0 takes all cores.

    Raises:
        InputError: the folder holds blocks of another seed, size or set of kinds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"seed": seed, "size": size, "kinds": list(KIND_NAMES), "channels": list(CHANNELS)}
    path = folder / _FACTS
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != facts:
        raise InputError(f"{folder} holds views of another seed, size or world; choose an empty folder")
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def trace(block: int) -> None:
        poses, maps = block_poses(seed, block), []
        for kind, name in enumerate(KIND_NAMES):
            own = torch.arange(kind * PER_KIND, (kind + 1) * PER_KIND)
            maps.append(trace_poses(name, poses[own], size).numpy())
        temporary = _path(folder, block).with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.save(file, np.concatenate(maps))
        temporary.replace(_path(folder, block))

    missing = [block for block in range(count) if not _path(folder, block).exists()]
    if missing:
        report(f"scenes: tracing {len(missing) * BLOCK} views at {size} pixels")
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:  # the tracer releases the lock
        list(pool.map(trace, missing))


def open_views(folder: Path) -> Views:
    """All blocks of a folder from 0 on that follow each other without a gap.

    Raises:
        InputError: there is no block 0, or the blocks are of another world.
    """
    path = folder / _FACTS
    if not path.exists() or not _path(folder, 0).exists():
        raise InputError(f"{folder} holds no traced views (no {_FACTS}, no {_path(folder, 0).name})")
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts["kinds"] != list(KIND_NAMES) or facts["channels"] != list(CHANNELS):
        raise InputError(f"{folder} holds views of another world; trace them anew in another folder")
    count = 0
    while _path(folder, count).exists():
        count += 1
    maps: Lights = Blocks(tuple(np.load(_path(folder, i), mmap_mode="r") for i in range(count)))
    poses = Poses.join([block_poses(facts["seed"], i) for i in range(count)])
    kind = torch.arange(len(KIND_NAMES)).repeat_interleave(PER_KIND).repeat(count)
    return Views(maps, kind, poses)


def _path(folder: Path, block: int) -> Path:
    return folder / f"views-{block:05d}.npy"
