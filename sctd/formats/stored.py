"""The contents of a file of Gaussians, and the rules for invalid numbers.

- Programs write infinite opacities and scales of zero for opaque, clear and flat. They become the nearest
  numbers that can be optimised: logits of +-16, a standard deviation of 1e-6.
- Rotations may have any length; one whose squared length leaves float32's range is normalised.
- The reader leaves out a row with another number that is not finite as float32, or with a rotation of length
0,
  and reports their number and the properties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.axes import Up
from sctd.gaussians import Gaussians

CERTAIN = 16.0
"""Logit of an opaque Gaussian, 1 - 1e-7; -CERTAIN is that of a clear one."""

FLAT = math.log(1e-6)
"""Logarithm of the scale of a Gaussian without thickness; world units."""

_WRONG = {
    "means": "position not finite",
    "scales": "scale not finite or negative",
    "quats": "rotation not finite or of length 0",
    "opacities": "opacity not a number",
    "sh0": "colour not finite",
    "shN": "colour coefficient not finite",
}

_LENGTHS = (1e-4, 1e4)
"""Rotations of lengths between these are unchanged."""


@dataclass(frozen=True)
class Stored:
    """The contents of a file, in its own axes."""

    gaussians: Gaussians
    """On the CPU; the means are float64, all else is float32."""
    up: Up
    """The axis that points up."""
    notes: tuple[str, ...] = ()
    """Messages about the reading; each begins with the file's name."""
    doubt: str = ""
    """A message about why ``up`` may be wrong; empty: no reason."""


def stored(
    path: Path, columns: dict[str, NDArray[Any]], up: Up, notes: tuple[str, ...] = (), doubt: str = ""
) -> Stored:
    """Gaussians from the columns of a file, cleaned by the rules above.

    Args:
        columns: as :class:`sctd.gaussians.Gaussians` names and shapes them; changed in place.
        up, notes, doubt: as in :class:`Stored`.

    Raises:
        InputError: there are none, or none is left.
    """
    count = len(columns["means"])
    if count == 0:
        raise InputError(f"{path} holds no Gaussians")
    columns["scales"][np.isneginf(columns["scales"])] = FLAT
    columns["opacities"] = np.where(
        np.isinf(columns["opacities"]), np.sign(columns["opacities"]) * CERTAIN, columns["opacities"]
    ).astype(np.float32)
    columns["quats"] = _normalised(columns["quats"])
    kept, why = finite_rows(columns)
    if not kept.all():
        left = count - int(kept.sum())
        if left == count:
            raise InputError(f"{path} holds no usable Gaussians: {why}, of {count} rows; export it anew")
        notes = (*notes, f"{path}: {left} of {count} Gaussians are left out: {why}")
        columns = {name: values[kept] for name, values in columns.items()}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in columns.items()}
    return Stored(Gaussians(**tensors), up, notes, doubt)


def _normalised(quats: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rotations [N, 4] as float32; those of extreme length, and no others, at length 1; of length 0: NaN."""
    largest = np.abs(quats).max(axis=1)
    extreme = np.isfinite(largest) & ((largest < _LENGTHS[0]) | (largest > _LENGTHS[1]))
    with np.errstate(invalid="ignore"):  # 0 / 0
        unit = quats[extreme] / largest[extreme, None]
    quats[extreme] = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return quats.astype(np.float32)


def finite_rows(columns: dict[str, NDArray[Any]]) -> tuple[NDArray[np.bool_], str]:
    """Which rows are finite as float32, [N], and how many are not, in words for each column."""
    kept = np.ones(len(next(iter(columns.values()))), np.bool_)
    found = []
    for name, values in columns.items():
        with np.errstate(over="ignore"):
            good = np.isfinite(values.astype(np.float32, copy=False)).reshape(len(kept), -1).all(axis=1)
        if not good.all():
            found.append(f"{_WRONG[name]} ({int((~good).sum())})")
        kept &= good
    return kept, ", ".join(found)
