"""How the small world is traced for training: light maps of every kind from all round.

A picture gets its colour, pattern and background when it is used (``pictures.compose``), so that one traced
view serves many pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.embedded.poses import Poses, training_poses
from sctd.embedded.traced import Maps, Tracing
from sctd.embedded.worlds.small.pictures import KIND_NAMES, Views, trace_poses
from sctd.embedded.worlds.small.scenes import CHANNELS

PER_KIND = 8  # views of each kind in a block


class SmallTracing(Tracing):
    """Blocks of PER_KIND views of every kind, kind after kind."""

    @property
    def rows(self) -> int:
        return PER_KIND * len(KIND_NAMES)

    @property
    def facts(self) -> dict[str, Any]:
        return {"kinds": list(KIND_NAMES), "channels": list(CHANNELS)}

    def block(self, seed: int, number: int, size: int) -> NDArray[np.uint8]:
        poses, maps = training_poses(seed, number, self.rows), []
        for kind, name in enumerate(KIND_NAMES):
            own = torch.arange(kind * PER_KIND, (kind + 1) * PER_KIND)
            maps.append(trace_poses(name, poses[own], size).numpy())
        return np.concatenate(maps)

    def views(self, maps: Maps, seed: int, count: int) -> Views:
        poses = Poses.join([training_poses(seed, i, self.rows) for i in range(count)])
        kind = torch.arange(len(KIND_NAMES)).repeat_interleave(PER_KIND).repeat(count)
        return Views(maps, kind, poses)


TRACING = SmallTracing()
