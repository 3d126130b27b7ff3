"""Step 9 of 9: layers of pictures as files: .png to look at, .exr to composite, .npy to compute with.

    .png   <name>.png in 8 bits, with alpha where it is transparent; <name>_depth.png in 16 bits, near white,
           far black; <name>_alpha.png; <name>_normals.png, (n + 1) / 2
    .exr   <name>.exr with all layers: R G B A, linear light, premultiplied; Z; N.X N.Y N.Z; float32
    .npy   <name>_rgb.npy and so on: the unchanged numbers, float32

OpenEXR's own library writes .exr: it is the reference, needs numpy alone, and has wheels; imageio's plugins
write no named layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.export.layers import Layers
from sctd.files import whole_file
from sctd.formats.plain import as_bytes
from sctd.formats.srgb import srgb_to_linear


@dataclass(frozen=True)
class Style:
    """Which layers are written, and how."""

    layers: tuple[str, ...] = ("rgb",)
    """Some of :data:`sctd.export.LAYERS`."""
    transparent: bool = False
    """Colours without a background, with alpha."""
    span: tuple[float, float] = (0.0, 1.0)
    """Depths of white and black in a .png, world units."""


Save = Callable[[Path, str, Layers, Style], list[Path]]
"""Folder, name without ending, layers, style => the files."""


def straight(layers: Layers) -> NDArray[np.float32]:
    """Colours without a background, [H, W, 3]; 0 where alpha is 0."""
    alpha = layers.alpha[..., None]
    color = np.where(alpha > 0, layers.clear / np.maximum(alpha, 1e-6), 0)
    return np.clip(color, 0, 1).astype(np.float32)


def save_png(folder: Path, name: str, layers: Layers, style: Style) -> list[Path]:
    """A picture a layer, to look at."""
    from PIL import Image

    color = np.dstack((straight(layers), layers.alpha)) if style.transparent else layers.rgb
    near, far = style.span
    share = np.clip((far - layers.depth) / max(far - near, 1e-9), 0, 1)
    pictures: dict[str, NDArray[Any]] = {
        "rgb": as_bytes(255 * color),
        "alpha": as_bytes(255 * layers.alpha),
        "depth": np.where(layers.depth > 0, np.rint(share * 65535), 0).astype(np.uint16),
        "normals": as_bytes(255 * (layers.normals / 2 + 0.5)),
    }
    paths = []
    for layer in style.layers:
        paths.append(folder / (f"{name}.png" if layer == "rgb" else f"{name}_{layer}.png"))
        with whole_file(paths[-1]) as temporary:
            Image.fromarray(pictures[layer]).save(temporary, format="PNG")
    return paths


def save_exr(folder: Path, name: str, layers: Layers, style: Style) -> list[Path]:
    """One file with a channel a number, linear light."""
    import OpenEXR

    color = straight(layers) if style.transparent else layers.rgb
    linear = srgb_to_linear(torch.from_numpy(color)).numpy()
    if style.transparent:
        linear = linear * layers.alpha[..., None]
    channels: dict[str, NDArray[np.float32]] = {}
    if "rgb" in style.layers:
        channels |= {"R": linear[..., 0], "G": linear[..., 1], "B": linear[..., 2]}
    if "alpha" in style.layers or style.transparent:
        channels["A"] = layers.alpha
    if "depth" in style.layers:
        channels["Z"] = layers.depth
    if "normals" in style.layers:
        channels |= {f"N.{axis}": layers.normals[..., i] for i, axis in enumerate("XYZ")}
    contiguous = {key: np.ascontiguousarray(values, np.float32) for key, values in channels.items()}
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    path = folder / f"{name}.exr"
    with whole_file(path) as temporary:
        OpenEXR.File(header, contiguous).write(str(temporary))
    return [path]


def save_npy(folder: Path, name: str, layers: Layers, style: Style) -> list[Path]:
    """An array a layer."""
    color = np.dstack((straight(layers), layers.alpha)) if style.transparent else layers.rgb
    arrays = {"rgb": color, "alpha": layers.alpha, "depth": layers.depth, "normals": layers.normals}
    paths = []
    for layer in style.layers:
        paths.append(folder / f"{name}_{layer}.npy")
        with whole_file(paths[-1]) as temporary, temporary.open("wb") as stream:
            np.save(stream, arrays[layer])
    return paths


SAVERS: dict[str, Save] = {"png": save_png, "exr": save_exr, "npy": save_npy}
