"""The input of every writer: the finite numbers of Gaussians, in a file's axes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.axes import half_turn
from sctd.gaussians import Gaussians

Columns = dict[str, NDArray[np.float32]]
"""Float32 on the CPU, named and shaped as :class:`sctd.gaussians.Gaussians`."""


def plain(path: Path, gaussians: Gaussians, up: Literal["y", "-y"]) -> Columns:
    """The numbers of N >= 1 Gaussians, y up, in the axes of a file.

    Raises:
        InputError: there are none, or a value is not finite; the message names the tensor.
    """
    kept = gaussians.detach().to("cpu")
    turned = half_turn(kept) if up == "-y" else kept
    arrays = {name: p.to(torch.float32).numpy() for name, p in turned.parameters().items()}
    if len(arrays["means"]) == 0:
        raise InputError(f"cannot write {path}: there are no Gaussians")
    for name, array in arrays.items():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"cannot write {path}: {bad} values of {name} are not finite")
    return arrays


def unit_quats(columns: Columns) -> NDArray[np.float64]:
    """Rotations [N, 4], wxyz, of length 1; those of length 0 become (1, 0, 0, 0)."""
    quats = columns["quats"].astype(np.float64)
    length = np.linalg.norm(quats, axis=1, keepdims=True)
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    return np.where(length > 0, quats / np.where(length > 0, length, 1), identity)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Opacities 0..1."""
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -80, 80)))


def as_bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Rounded to the nearest of 0..255."""
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def logit(bytes_: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of opacities in 8 bits; 0 and 255 half a step inside, since a logit has to be finite."""
    opacity = np.clip(bytes_ / 255, 0.5 / 255, 1 - 0.5 / 255)
    return np.log(opacity / (1 - opacity)).astype(np.float32)
