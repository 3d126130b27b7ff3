"""The header of a safetensors file: what is in it and whether it is whole, the weights unread. No torch.

Layout: 8 bytes, little-endian: the header's length; the header, JSON: name => dtype, shape, data_offsets; the
data, without gaps. Source: the format's description in the safetensors repository.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from sctd.errors import InputError

MAX_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer headers too."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file."""

    dtype: str
    """As safetensors spells it: F16, F32, BF16, ..."""
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a file, by name.

    Raises:
        InputError: it cannot be read, is no safetensors file, or is not as long as its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, MAX_HEADER):
                raise ValueError
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        tensors = {name: Entry(str(e["dtype"]), tuple(map(int, e["shape"]))) for name, e in header.items()}
        end = max((int(e["data_offsets"][1]) for e in header.values()), default=0)
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as exc:
        raise InputError(f"{path} is damaged or no safetensors file; fetch it again") from exc
    if 8 + length + end != size:
        raise InputError(
            f"{path} is damaged: it has {size} bytes, its header tells of {8 + length + end}; fetch it again"
        )
    return tensors
