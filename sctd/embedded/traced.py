"""What the training of a prior takes from a world: traced views, and finished pictures of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.subject import Subject

CPU = torch.device("cpu")
SIZE = 128  # of the pictures that a prior draws, pixels


class Maps(Protocol):
    """Traced maps uint8 [n, C, size, size], 255 is 1: a tensor, or blocks on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Pictures:
    """Pictures and all that the renderer knows of them."""

    images: Tensor
    """[n, 3, H, W], 0..1."""
    cameras: Viewpoints
    subjects: Sequence[Subject]

    def __len__(self) -> int:
        return len(self.images)


class TracedViews(ABC):
    """Traced views of a world; what it leaves open is drawn for each picture anew."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def draw(
        self, n: int, generator: torch.Generator, crop: int | None = None, device: torch.device = CPU
    ) -> Pictures:
        """n random views as pictures, on a device.

        Args:
            crop: height and width of a square that is cut out of all of them; None: whole pictures.
        """

    @abstractmethod
    def on(self, device: torch.device) -> TracedViews:
        """With all maps in a device's memory."""


class Tracing(ABC):
    """How a world is traced for training, block by block. A block depends on seed, size and number only."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """Views in a block."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """What else its blocks depend on, for JSON: written beside them, compared when they are opened."""

    @abstractmethod
    def block(self, seed: int, number: int, size: int) -> NDArray[np.uint8]:
        """The maps of a block, [rows, C, size, size]."""

    @abstractmethod
    def views(self, maps: Maps, seed: int, count: int) -> TracedViews:
        """The views of blocks 0 to ``count`` - 1, whose maps are given."""


def cut(maps: Tensor, crop: int | None, generator: torch.Generator) -> Tensor:
    """A random square of ``crop`` pixels out of maps [n, C, size, size], the same of all; None, or a larger
    one: all of them."""
    if crop is None or crop > maps.shape[-1]:
        return maps
    y, x = (int(v) for v in torch.randint(maps.shape[-1] - crop + 1, (2,), generator=generator))
    return maps[..., y : y + crop, x : x + crop]


def in_memory(maps: Maps, device: torch.device) -> Tensor:
    """All maps as one tensor on a device."""
    parts = [maps[index].to(device) for index in torch.arange(len(maps)).split(1024)]
    return torch.cat(parts)
