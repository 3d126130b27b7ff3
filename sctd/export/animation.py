"""Step 9 of 9: a turntable as an animated .gif or .webp, which web pages and chats play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sctd.errors import InputError
from sctd.export.pictures import as_pictures
from sctd.files import whole_file

_SETTINGS: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF", "optimize": False},
    ".webp": {"format": "WEBP", "quality": 90, "method": 2},
}
_GIF_STEP = 0.01
"""Seconds; a .gif counts in hundredths, and programs slow down frames shorter than two of them."""


def save_animation(path: Path, frames: Any, fps: float = 30.0) -> None:
    """Write frames as .gif or .webp that repeats for ever, whole or not at all.

    Args:
        path: the file, ending in .gif or .webp; its folder must exist, an existing file is replaced.
        frames: uint8 [n, H, W, 3], sRGB.
        fps: frames per second, > 0; a .gif plays at most 50, and only at divisors of 100.

    Raises:
        InputError: ``frames`` has another shape or dtype, ``fps`` is not positive, or another ending.
        OSError: the file cannot be written.
    """
    from PIL import Image

    pictures = [Image.fromarray(picture) for picture in as_pictures(frames)]
    settings = _SETTINGS.get(Path(path).suffix.lower())
    if settings is None:
        raise InputError(f"cannot write {str(path)!r}: give a file ending in {', '.join(_SETTINGS)}")
    if not fps > 0:
        raise InputError(f"fps must be positive, got {fps}")
    seconds = 1 / fps
    if settings["format"] == "GIF":
        seconds = max(2, round(seconds / _GIF_STEP)) * _GIF_STEP
    with whole_file(Path(path)) as temporary:
        pictures[0].save(
            temporary,
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 * seconds),
            loop=0,
            **settings,
        )
