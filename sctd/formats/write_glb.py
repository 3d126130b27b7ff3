"""Gaussians => .glb with KHR_gaussian_splatting: y up, front at +z, as glTF and we have it.

One primitive of points. Programs without the extension show them coloured by COLOR_0, linear light with the
opacity as alpha. Numbers are float32; opacities, scales and rotations are activated, rotations xyzw.

Source: KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting; glTF 2.0 specification, section 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats.gltf_write import Buffer
from sctd.formats.plain import as_bytes, plain, sigmoid, unit_quats
from sctd.formats.srgb import srgb_to_linear
from sctd.gaussians import SH_C0, Gaussians

LOSES = "every number is kept but for float32's rounding; opacities within 1e-7 of 0 or 1 are cut there"
EXTENSION = "KHR_gaussian_splatting"
_POINTS = 0


def write_glb(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as .glb, whole or not at all.

    Raises:
        InputError: there are none, or a value is not finite.
        OSError: the file cannot be written.
    """
    columns = plain(path, gaussians, "y")
    opacities = sigmoid(columns["opacities"]).astype(np.float32)[:, None]
    attributes: dict[str, NDArray[Any]] = {
        "POSITION": columns["means"],
        "COLOR_0": _fallback(columns["sh0"][:, 0], opacities),
        f"{EXTENSION}:ROTATION": unit_quats(columns)[:, [1, 2, 3, 0]].astype(np.float32),
        f"{EXTENSION}:SCALE": np.exp(np.clip(columns["scales"], -87, 88)),
        f"{EXTENSION}:OPACITY": opacities,
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": columns["sh0"][:, 0],
    }
    for degree in range(1, gaussians.sh_degree + 1):
        for order in range(2 * degree + 1):
            values = columns["shN"][:, degree * degree - 1 + order]
            attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{order}"] = values
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(_container(attributes))


def _fallback(coefficients: NDArray[np.float32], opacities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGBA in 8 bits, [N, 4]: colours of degree 0 in linear light, and the opacity."""
    linear = srgb_to_linear(torch.from_numpy(0.5 + SH_C0 * coefficients).clamp(0, 1)).numpy()
    return as_bytes(255 * np.hstack((linear, opacities)))


def _container(attributes: dict[str, NDArray[Any]]) -> bytes:
    """An accessor and a view for each attribute, all of one primitive."""
    buffer = Buffer()
    primitive = {
        "mode": _POINTS,
        "attributes": {
            name: buffer.accessor(values, bounds=name == "POSITION") for name, values in attributes.items()
        },
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    return buffer.container({"extensionsUsed": [EXTENSION], "meshes": [{"primitives": [primitive]}]})
