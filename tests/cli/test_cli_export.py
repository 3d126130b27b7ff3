"""`sctd export`: any asset as any format, by its ending, with a line about what is lost."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest
from cli_outcome import Outcome
from PIL import Image

from sctd.export import ENDINGS

Command = Callable[..., Outcome]
SMALL = ("--size", "16", "--frames", "3", "--views", "2")


@pytest.fixture
def asset(here: Path) -> str:
    """Red Gaussians beside the axis, as a .splat has them."""
    record = struct.pack("<6f", 0.4, -0.3, 0.0, 0.2, 0.2, 0.2) + bytes((255, 0, 0, 255, 255, 128, 128, 128))
    (here / "a.splat").write_bytes(record * 3)
    return "a.splat"


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_written_and_what_it_loses_is_said(
    sctd: Command, here: Path, asset: str, ending: str
) -> None:
    done = sctd("export", asset, "-o", f"new/b{ending}", *SMALL)
    assert (done.code, done.out) == (0, f"new/b{ending}\n")
    assert done.err.startswith(f"new/b{ending}: 3 Gaussians; ")
    assert done.err.count("\n") == 1
    assert [path.name for path in (here / "new").iterdir()] == [f"b{ending}"]
    if ending in (".png", ".gif", ".webp"):
        with Image.open(here / "new" / f"b{ending}") as image:
            assert getattr(image, "n_frames", 1) == (1 if ending == ".png" else 3)
    elif ending == ".html":
        assert "<h1>b</h1>" in (here / "new" / "b.html").read_text(encoding="utf-8")
    elif ending == ".mp4":
        assert imageio_ffmpeg.count_frames_and_secs(str(here / "new" / "b.mp4"))[0] == 3
    else:
        again = sctd("export", f"new/b{ending}", "-o", "c.ply")
        assert (again.code, again.out) == (0, "c.ply\n")


def test_the_page_of_a_run_has_its_prompt(sctd: Command, here: Path, asset: str) -> None:
    assert sctd("export", asset, "-o", "run/asset.ply").code == 0
    (here / "run" / "config.yaml").write_text("prompt: a <b>red</b> ball\n")
    assert sctd("export", "run", "-o", "b.html").code == 0
    assert "<h1>a &lt;b&gt;red&lt;/b&gt; ball</h1>" in (here / "b.html").read_text(encoding="utf-8")


def test_a_run_is_exported_by_its_folder(sctd: Command, here: Path, asset: str) -> None:
    assert sctd("export", asset, "-o", "run/asset.ply").code == 0
    assert sctd("export", "run", "-o", "b.spz", "--spz-version", "4").code == 0
    assert (here / "b.spz").read_bytes()[:8] == b"NGSP\x04\0\0\0"


def test_colours_get_the_degree_that_a_program_insists_on(sctd: Command, here: Path, asset: str) -> None:
    """62 numbers a Gaussian, 248 bytes, is all that the first readers knew."""
    assert sctd("export", asset, "-o", "b.ply", "--sh-degree", "3").code == 0
    header, _, rows = (here / "b.ply").read_bytes().partition(b"end_header\n")
    assert header.count(b"property float f_rest_") == 45
    assert len(rows) == 3 * 248


def test_refused_in_one_line(sctd: Command, here: Path, asset: str) -> None:
    (here / "empty").mkdir()
    (here / "there.ply").touch()
    for arguments, says in (
        ((asset, "-o", "b.usdz"), "give a file ending in .ply, .splat"),
        (("nothing.ply", "-o", "b.ply"), "nothing.ply is not a file"),
        (("empty", "-o", "b.ply"), "empty holds no asset.ply"),
        ((asset, "-o", "there.ply"), "there.ply exists; replace with --overwrite"),
        ((asset, "-o", "b.ply", "--up", "x"), "--up must be y, -y or z"),
        ((asset, "-o", "b.png", "--background", "red"), "--background must be white"),
    ):
        done = sctd("export", *arguments)
        assert done.code == 2
        assert says in done.error_line()
