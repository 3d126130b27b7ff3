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
    shown = [np.concatenate([_strip(pair.truth), _strip(pair.asset)]) for pair in pairs]
    height, width = shown[0].shape[0] + TITLE, shown[0].shape[1] + GAP
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (min(columns, len(pairs)) * width - GAP, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(0.65 * TITLE)
    for i, (pair, picture) in enumerate(zip(pairs, shown, strict=True)):
        y, x = divmod(i, columns)
        place = x * width, y * height
        draw.text(place, pair.prompt, fill="black", font=font)
        sheet.paste(Image.fromarray(picture), (place[0], place[1] + TITLE))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(COLORS).save(path, optimize=True)


def _strip(views: Tensor) -> NDArray[np.uint8]:
    """Views beside each other."""
    across: NDArray[np.float32] = np.concatenate(list(views.permute(0, 2, 3, 1).numpy()), axis=1)
    return (across.clip(0, 1) * 255 + 0.5).astype(np.uint8)
