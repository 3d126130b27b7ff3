"""`sctd render` of other programs' files: upright, and told where the pictures miss them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cli_outcome import Outcome
from PIL import Image

Command = Callable[..., Outcome]


def splat_records(count: int, place: tuple[float, float, float]) -> bytes:
    """Red round Gaussians of 0.2 at one place, as a .splat has them."""
    record = struct.pack("<6f", *place, 0.2, 0.2, 0.2) + bytes((255, 0, 0, 255, 255, 128, 128, 128))
    return record * count


def test_a_splat_file_is_rendered_upright(sctd: Command, here: Path) -> None:
    """y is down in it: what is at y = -0.6 is in the upper half, unless a person says y is up."""
    (here / "a.splat").write_bytes(splat_records(3, (0.0, -0.6, 0.0)))
    small = ("--size", "32", "--views", "1", "--no-turntable", "--overwrite")
    for options, half in (((), slice(0, 16)), (("--up", "y"), slice(16, 32))):
        done = sctd("render", "a.splat", *small, *options)
        assert (done.code, done.out, done.err) == (0, "contact.png\n", "")
        with Image.open(here / "contact.png") as sheet:
            red = np.asarray(sheet.convert("RGB"))[..., 1] < 128
        assert red.any()
        assert red[half].sum() == red.sum()
    assert "--up must be y, -y or z; got 'x'" in sctd("render", "a.splat", *small, "--up", "x").error_line()


def test_an_asset_beside_the_pictures_is_told(sctd: Command, here: Path) -> None:
    (here / "a.splat").write_bytes(splat_records(3, (500.0, 0.0, 0.0)))
    done = sctd("render", "a.splat", "--size", "16", "--views", "1", "--no-turntable")
    assert done.code == 0
    assert done.err.startswith("a.splat: 0% of it lies within 1.08 of the origin, which the pictures show; ")
