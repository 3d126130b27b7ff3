"""Step 9 of 9: views of an asset side by side in one picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sctd.export.pictures import as_pictures
from sctd.files import whole_file

GAP = 4
"""Pixels between two views: enough to separate them, few enough to keep them large."""


def save_contact(path: Path, images: Any, columns: int | None = None) -> None:
    """Write pictures as a grid, in reading order, as PNG.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        images: uint8 [n, H, W, 3], sRGB.
        columns: pictures in a row, >= 1; None: at most 4, or about a square from 17 pictures on.

    Raises:
        InputError: ``images`` has another shape or dtype.
        OSError: the file cannot be written.
    """
    import numpy as np
    from PIL import Image

    pictures = as_pictures(images)
    n, height, width, _ = pictures.shape
    columns = max(1, columns) if columns else min(n, 4 if n <= 16 else math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    sheet = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8
    )  # white, so that an incomplete last row does not look like a black view
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    with whole_file(Path(path)) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG", optimize=False)
