"""Gaussians => .sog, PlayCanvas's compact format; `sog.py` describes the layout."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats import sog
from sctd.formats.plain import Columns, as_bytes, plain, sigmoid, unit_quats
from sctd.formats.smallest_three import split
from sctd.gaussians import Gaussians

LOSES = (
    "positions have 16 bits, all else 8: scales and colours take one of 256 values; how colours change with "
    "the direction is one of at most 4096 patterns"
)
_PALETTE = 4096
"""Patterns of direction at most: all of a small asset, k-means' choice for a large one."""
_ROUNDS, _PATTERN_ROUNDS = 10, 4
"""Rounds of k-means; four of them over 60,000 Gaussians of degree 3 take 15 s on a core."""

_Pictures = dict[str, NDArray[np.uint8]]


def write_sog(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as .sog, whole or not at all.

    Raises:
        InputError: there are none, or a value is not finite.
        OSError: the file cannot be written.
    """
    columns = plain(path, gaussians, "-y")
    count = len(columns["means"])
    low, high, bounds = _means(columns["means"])
    scale_book, scales = _codebook(columns["scales"])
    color_book, colors = _codebook(columns["sh0"][:, 0])
    alpha = as_bytes(255 * sigmoid(columns["opacities"]))[:, None]
    pictures: _Pictures = {
        "means_l": low,
        "means_u": high,
        "quats": _quats(columns),
        "scales": scales,
        "sh0": np.hstack((colors, alpha)),
    }
    pictures = {name: _square(values) for name, values in pictures.items()}
    meta: dict[str, Any] = {
        "version": sog.VERSION,
        "asset": {"generator": "sctd"},
        "count": count,
        "means": {**bounds, "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_book, "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": color_book, "files": ["sh0.webp"]},
    }
    if gaussians.sh_degree:
        meta["shN"] = _palette(columns["shN"], gaussians.sh_degree, pictures)
    with whole_file(Path(path)) as temporary:
        _bundle(temporary, meta, pictures)


def _means(means: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, list[float]]]:
    """Low and high bytes, [N, 3] each, and the range that they divide."""
    stretched = np.sign(means) * np.log1p(np.abs(means.astype(np.float64)))
    first, last = stretched.min(axis=0), stretched.max(axis=0)
    span = np.where(last > first, last - first, 1)
    steps = np.rint((stretched - first) / span * 65535).astype(np.uint16)
    bounds = {"mins": first.tolist(), "maxs": last.tolist()}
    return (steps & 255).astype(np.uint8), (steps >> 8).astype(np.uint8), bounds


def _quats(columns: Columns) -> NDArray[np.uint8]:
    index, three = split(unit_quats(columns))
    tags = (sog.TAG + index).astype(np.uint8)[:, None]
    return np.hstack((as_bytes(255 * (three / math.sqrt(2) + 0.5)), tags))


def _codebook(values: NDArray[np.float32]) -> tuple[list[float], NDArray[np.uint8]]:
    """256 numbers, rising, and for each value the index of the nearest: k-means on a line.

    It starts from quantiles and even steps: crowded ranges get more numbers, and rare ones get some.
    """
    flat = np.sort(values.ravel().astype(np.float64))
    even = np.linspace(flat[0], flat[-1], 128)
    book = np.sort(np.concatenate((even, np.quantile(flat, np.linspace(0, 1, 128)))))
    for _ in range(_ROUNDS):
        cuts = np.searchsorted(flat, (book[1:] + book[:-1]) / 2)
        edges = np.concatenate(([0], cuts, [len(flat)]))
        sums = np.concatenate(([0.0], np.cumsum(flat)))
        sizes = np.diff(edges)
        book = np.where(sizes > 0, (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(sizes, 1), book)
    book = book.astype(np.float32).astype(np.float64)
    nearest = np.searchsorted((book[1:] + book[:-1]) / 2, values)
    return book.tolist(), nearest.astype(np.uint8)


def _palette(rest: NDArray[np.float32], degree: int, pictures: _Pictures) -> dict[str, Any]:
    """Patterns of direction; adds their two pictures."""
    patterns, labels = _patterns(rest.reshape(len(rest), -1))
    book, indices = _codebook(patterns)
    width = sog.COEFFICIENTS[degree]
    rows = math.ceil(len(patterns) / sog.PER_ROW)
    entries = np.zeros((rows * sog.PER_ROW, width, 3), np.uint8)
    entries[: len(patterns)] = indices.reshape(-1, width, 3)
    pictures["shN_centroids"] = entries.reshape(rows, sog.PER_ROW * width, 3)
    pictures["shN_labels"] = _square(
        np.stack((labels & 255, labels >> 8, 0 * labels), axis=1).astype(np.uint8)
    )
    return {
        "count": len(patterns),
        "bands": degree,
        "codebook": book,
        "files": ["shN_centroids.webp", "shN_labels.webp"],
    }


def _patterns(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """At most _PALETTE rows, or means of similar ones, and the index of each row's."""
    distinct, labels = np.unique(rows, axis=0, return_inverse=True)
    if len(distinct) <= _PALETTE:
        return distinct, labels.ravel()
    from scipy.cluster.vq import kmeans2

    sample = distinct[np.random.default_rng(0).choice(len(distinct), _PALETTE, replace=False)]
    means, labels = kmeans2(rows, sample, iter=_PATTERN_ROUNDS, minit="matrix", missing="warn")
    return means, labels.astype(np.int64)


def _square(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows [N, channels] as a picture about as high as wide; pixels beyond them are 0."""
    width = 4 * math.ceil(math.sqrt(len(values)) / 4)
    height = math.ceil(len(values) / width)
    picture = np.zeros((height * width, values.shape[1]), np.uint8)
    picture[: len(values)] = values
    return picture.reshape(height, width, -1)


def _bundle(path: Path, meta: dict[str, Any], pictures: _Pictures) -> None:
    from PIL import Image

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        # Without a date, so that the same Gaussians give the same bytes.
        bundle.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta, separators=(",", ":")))
        for name, values in pictures.items():
            stream = io.BytesIO()
            # exact: the colours of clear pixels are data too
            Image.fromarray(values).save(stream, "WEBP", lossless=True, exact=True, quality=80, method=4)
            bundle.writestr(zipfile.ZipInfo(f"{name}.webp"), stream.getvalue())
