""".sog => Gaussians, version 2; `sog.py` describes the layout."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats import sog
from sctd.formats.bounded import damaged
from sctd.formats.plain import logit
from sctd.formats.smallest_three import join
from sctd.formats.stored import Stored, stored

_KIND = ".sog"
_MOST_A_BYTE = 64
"""Gaussians, or bytes of a member, for a byte of a file: one usually has twenty, and equal ones few."""
_SLACK = 1 << 20


def read_sog(path: Path) -> Stored:
    """Read a bundled .sog.

    Raises:
        InputError: the file is missing, damaged, of another version, or holds no usable Gaussians.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            found = _Bundle(Path(path), bundle).columns()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as exc:
        raise damaged(path, _KIND, f"it is no zip archive that can be read ({exc})") from exc
    return stored(Path(path), found, "-y")


class _Bundle:
    def __init__(self, path: Path, bundle: zipfile.ZipFile) -> None:
        self.path = path
        self.bundle = bundle
        self.length = path.stat().st_size
        self.meta = self._meta()
        version, count = self.meta.get("version"), self.meta.get("count")
        if version != sog.VERSION:
            raise InputError(
                f"{path}: meta.json has version {version!r}, and {sog.VERSION} is read; export it anew"
            )
        if type(count) is not int or not 0 <= count <= _MOST_A_BYTE * self.length:
            raise self.damaged(f"meta.json: count is {count!r} in a file of {self.length} bytes")
        self.count = count

    def damaged(self, why: str) -> InputError:
        return damaged(self.path, _KIND, why)

    def _meta(self) -> dict[str, Any]:
        try:
            tree = json.loads(self._member("meta.json"))
        except (ValueError, RecursionError) as exc:
            raise self.damaged(f"meta.json cannot be read ({exc})") from exc
        if not isinstance(tree, dict):
            raise self.damaged("meta.json is no object")
        return tree

    def _member(self, name: str) -> bytes:
        try:
            size = self.bundle.getinfo(name).file_size
        except KeyError:
            raise self.damaged(f"it has no {name}") from None
        if size > _MOST_A_BYTE * self.length + _SLACK:
            raise self.damaged(f"{name} says {size} bytes in a file of {self.length}")
        return self.bundle.read(name)

    def columns(self) -> dict[str, NDArray[Any]]:
        low, high = (self._rows("means", i, 3).astype(np.int64) for i in (0, 1))
        first, last = (self._floats("means", field, 3) for field in ("mins", "maxs"))
        stretched = first + (last - first) * (low | high << 8) / 65535
        quats = self._rows("quats", 0, 4)
        color = self._rows("sh0", 0, 4)
        with np.errstate(over="ignore", invalid="ignore"):  # non-finite numbers are left out, with a message
            means = np.sign(stretched) * np.expm1(np.abs(stretched))
        return {
            "means": means,
            "scales": self._floats("scales", "codebook", 256).astype(np.float32)[self._rows("scales", 0, 3)],
            "quats": self._quats(quats),
            "opacities": logit(color[:, 3]),
            "sh0": self._floats("sh0", "codebook", 256).astype(np.float32)[color[:, :3]][:, None],
            "shN": self._rest(),
        }

    def _part(self, name: str) -> dict[str, Any]:
        part = self.meta.get(name)
        if not isinstance(part, dict):
            raise self.damaged(f"meta.json has no {name}")
        return part

    def _floats(self, name: str, field: str, length: int) -> NDArray[np.float64]:
        values = self._part(name).get(field)
        if (
            not isinstance(values, list)
            or len(values) != length
            or not all(type(value) in (int, float) for value in values)
        ):
            raise self.damaged(f"meta.json: {name}.{field} is no list of {length} numbers")
        return np.array(values, np.float64)

    def _picture(self, name: str, index: int, least: int, most: int) -> NDArray[np.uint8]:
        """RGBA, [H, W, 4], of ``least`` to ``most`` pixels; checked before it is unpacked."""
        from PIL import Image, UnidentifiedImageError

        files = self._part(name).get("files")
        if not isinstance(files, list) or len(files) <= index or not isinstance(files[index], str):
            raise self.damaged(f"meta.json: {name}.files has no entry {index}")
        try:
            with Image.open(io.BytesIO(self._member(files[index]))) as image:
                if not least <= image.width * image.height <= most:
                    raise self.damaged(
                        f"{files[index]} has {image.width} x {image.height} pixels for {least} of {name}"
                    )
                return np.asarray(image.convert("RGBA"))
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as exc:
            raise self.damaged(f"{files[index]} is no picture ({exc})") from exc

    def _rows(self, name: str, index: int, channels: int) -> NDArray[np.uint8]:
        """[count, channels]."""
        picture = self._picture(name, index, self.count, 4 * self.count + 65536)
        return picture.reshape(-1, 4)[: self.count, :channels]

    def _quats(self, rows: NDArray[np.uint8]) -> NDArray[np.float64]:
        index = rows[:, 3].astype(np.int64) - sog.TAG
        if (index < 0).any():
            raise self.damaged(
                f"quats: a pixel has the alpha {rows[:, 3].min()}, and {sog.TAG} to 255 are possible"
            )
        return join(index, (rows[:, :3] / 255 - 0.5) * math.sqrt(2))

    def _rest(self) -> NDArray[np.float32]:
        if "shN" not in self.meta:
            return np.zeros((self.count, 0, 3), np.float32)
        part = self._part("shN")
        bands, entries = part.get("bands"), part.get("count")
        if bands not in sog.COEFFICIENTS:
            raise self.damaged(f"meta.json: shN.bands is {bands!r}, and 1 to 3 are possible")
        if type(entries) is not int or not 0 < entries <= sog.MOST_ENTRIES:
            raise self.damaged(f"meta.json: shN.count is {entries!r}")
        width = sog.COEFFICIENTS[bands]
        labels = self._rows_of_labels()
        if len(labels) and labels.max() >= entries:
            raise self.damaged(f"shN_labels names entry {labels.max()} of {entries}")
        picture = self._picture("shN", 0, entries * width, 2 * entries * width + 65536)
        if picture.shape[1] != sog.PER_ROW * width:
            raise self.damaged(
                f"shN_centroids is {picture.shape[1]} wide, and bands {bands} need {sog.PER_ROW * width}"
            )
        indices = picture[..., :3].reshape(-1, width, 3)
        if len(indices) < entries:
            raise self.damaged(f"shN_centroids holds {len(indices)} of {entries} entries")
        book = self._floats("shN", "codebook", 256).astype(np.float32)
        return book[indices[labels]]

    def _rows_of_labels(self) -> NDArray[np.int64]:
        rows = self._rows("shN", 1, 2).astype(np.int64)
        labels: NDArray[np.int64] = rows[:, 0] | rows[:, 1] << 8
        return labels
