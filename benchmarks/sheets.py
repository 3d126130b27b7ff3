"""Contact sheets of assets: each prompt in words, the truth below it, and the asset below the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TITLE, GAP = 20, 10  # pixels
COLORS = 255  # a third of the size, and little to see of it


class Pair(NamedTuple):
    """A prompt, and its pictures [views, 3, H, W], 0..1, from the same cameras."""

    prompt: str
    truth: Tensor
    asset: Tensor


def save_sheet(pairs: Sequence[Pair], columns: int, path: Path) -> None:
    """One PNG with ``columns`` pairs beside each other, row by row, all of one size."""
    shown = [np.concatenate([strip(pair.truth), strip(pair.asset)]) for pair in pairs]
    height, width = shown[0].shape[0] + TITLE, shown[0].shape[1] + GAP
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (min(columns, len(pairs)) * width - GAP, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(0.65 * TITLE)
    for i, (pair, picture) in enumerate(zip(pairs, shown, strict=True)):
        y, x = divmod(i, columns)
        place = x * width, y * height
        draw.text(place, pair.prompt, fill="black", font=font)
        whole = Image.fromarray((picture.clip(0, 1) * 255 + 0.5).astype(np.uint8))
        sheet.paste(whole, (place[0], place[1] + TITLE))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(COLORS).save(path, optimize=True)


def strip(views: Tensor) -> NDArray[np.float32]:
    """Views [n, 3, H, W] beside each other: [H, n W, 3]."""
    across: NDArray[np.float32] = views.permute(2, 0, 3, 1).flatten(1, 2).numpy()
    return across
