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

# What another kind of file starts with, and what to say of it.
_OTHER_FILES = {
    b"version https://git-lfs": "is a pointer of git-lfs, not the file; run `git lfs pull` in its folder",
    b"PK\x03\x04": "is a zip or a pickle, which can run code; give a real .safetensors file",
    b"\x80": "is a pickle, which can run code; give a real .safetensors file",
    b"GGUF": "is a GGUF file; give a .safetensors file",
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"<": "is a web page; fetch the file itself",
}

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


class DamagedFile(InputError):
    """A safetensors file that is not whole, or a file of no known kind."""


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a file, by name.

    Raises:
        DamagedFile: it is no safetensors file, or not as long as its header says.
        InputError: it cannot be read, or is another kind of file, which the message names.
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
        raise _no_safetensors(path) from exc
    if 8 + length + end != size:
        raise DamagedFile(
            f"{path} is damaged: it has {size} bytes, its header tells of {8 + length + end}; fetch it again"
        )
    return tensors


def _no_safetensors(path: Path) -> InputError:
    with path.open("rb") as stream:
        start = stream.read(64)
    for first, what in _OTHER_FILES.items():
        if start.lstrip().startswith(first):
            return InputError(f"{path} {what}")
    what = "is damaged or no safetensors file" if start else "is empty, so damaged"
    return DamagedFile(f"{path} {what}; fetch it again")
