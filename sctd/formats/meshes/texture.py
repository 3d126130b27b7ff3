"""An image file => texels, and interpolated colours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sctd.formats.srgb import srgb_to_linear
from sctd.ops.triangles import texture

Wrap = Literal["repeat", "clamp", "mirror"]


@dataclass(frozen=True)
class Texture:
    """Texels with their wrap modes."""

    pixels: Tensor
    """[H, W, 4], uint8: sRGB, and opacity, which is linear."""
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """Wrap modes along u and v."""
    nearest: bool = False
    """Use only the nearest texel, as in pixel art, instead of interpolating four."""

    @property
    def opaque(self) -> bool:
        return bool((self.pixels[..., 3] == 255).all())

    def at(self, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Linear colours [n, 3] and opacities [n], 0..1, at uv [n, 2], whose (0, 0) is the upper left corner.

        Source: glTF 2.0 specification, sections 3.8.4.2 to 3.8.4.5.
        """
        size = torch.tensor(self.pixels.shape[1::-1])
        folded = torch.stack([_FOLDED[w](uv[:, i], int(size[i])) for i, w in enumerate(self.wrap)], dim=1)
        if self.nearest:
            folded = ((folded * size).floor() + 0.5) / size
        found = texture(self._linear, folded.float()).double()
        return found[:, :3], found[:, 3]

    @cached_property
    def _linear(self) -> Tensor:
        """Linear colours and opacity, [H, W, 4], float32."""
        levels = torch.arange(256, dtype=torch.float64) / 255
        light = srgb_to_linear(levels).float()[self.pixels[..., :3].long()]
        return torch.cat((light, levels.float()[self.pixels[..., 3:].long()]), dim=-1)


def _clamped(u: Tensor, texels: int) -> Tensor:
    return u.clamp(0.5 / texels, 1 - 0.5 / texels)


# A repeated picture of so many texels, read here, has what the wrap mode wants. Moved near 0..1 in float64,
# since float32 holds no share of a texel far away.
_FOLDED: dict[Wrap, Callable[[Tensor, int], Tensor]] = {
    "repeat": lambda u, texels: u % 1,
    "clamp": _clamped,
    "mirror": lambda u, texels: _clamped(1 - (1 - u % 2).abs(), texels),
}


def decode(data: bytes) -> NDArray[np.uint8]:
    """The pixels of any image file that Pillow reads, [H, W, 4]; images without opacity get 255.

    Raises:
        ValueError: it is damaged, no image, or holds floating point numbers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice as large is an error
            image = Image.open(BytesIO(data))
            image.load()
        if image.mode.startswith("I"):
            return _grey_of_16_bits(image)
        if image.mode == "F":
            raise ValueError("it holds floating point numbers")
        return np.array(image.convert("RGBA"))
    except Exception as exc:  # its plugins raise all kinds of exceptions on arbitrary bytes
        raise ValueError(" ".join(str(exc).split())[:150] or type(exc).__name__) from exc


def _grey_of_16_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Pillow cuts these off at 255 instead of scaling them; 16 bits of RGB it does scale."""
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("it holds more than 16 bits a channel")
    grey = ((levels * 255 + 32767) // 65535).astype(np.uint8)
    return np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
