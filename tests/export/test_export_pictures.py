"""Turntable and contact sheet, decoded again and compared with what went in."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from sctd.errors import InputError
from sctd.export.contact import GAP, save_contact
from sctd.export.video import save_turntable


def moving_square(n: int, height: int, width: int) -> np.ndarray[Any, Any]:
    """Frames that differ: a coloured square walks over a gradient."""
    rows, columns = np.mgrid[0:height, 0:width]
    frames = np.empty((n, height, width, 3), np.uint8)
    for i in range(n):
        frames[i] = np.stack((rows * 255 // height, columns * 255 // width, rows * 0 + 128), axis=-1)
        frames[i, 8 : 8 + height // 4, 2 * i : 2 * i + width // 4] = (255, 40, 40)
    return frames


def decode(path: Path, height: int, width: int) -> tuple[str, np.ndarray[Any, Any]]:
    """What ffmpeg says about the file, and its frames."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    return done.stderr.decode(), frames


@pytest.mark.parametrize(("height", "width"), [(64, 64), (66, 128), (63, 65)])
def test_turntable_decodes_to_the_same_pictures(tmp_path: Path, height: int, width: int) -> None:
    frames = moving_square(12, height, width)
    save_turntable(tmp_path / "turntable.mp4", frames, fps=24)
    even = (height + height % 2, width + width % 2)
    about, decoded = decode(tmp_path / "turntable.mp4", *even)
    for expected in ("Video: h264", "yuv420p", "24 fps", f"{even[1]}x{even[0]}"):  # what browsers play
        assert expected in about
    assert len(decoded) == 12
    error = decoded[:, :height, :width].astype(float) - frames
    psnr = 10 * np.log10(255**2 / (error**2).mean(axis=(1, 2, 3)))
    # Half the colour resolution blurs the square's edge; frames or channels out of order give below 20 dB.
    assert psnr.min() > 28, psnr


def test_turntable_is_repeatable_and_takes_tensors(tmp_path: Path) -> None:
    frames = moving_square(5, 32, 32)
    save_turntable(tmp_path / "a.mp4", frames, 30)
    save_turntable(tmp_path / "b.mp4", torch.from_numpy(frames), 30)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_turntable_plays_while_it_loads(tmp_path: Path) -> None:
    save_turntable(tmp_path / "a.mp4", moving_square(3, 32, 32), 30)
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, frames: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"uint8 of shape \[n, H, W, 3\]"):
        save_turntable(tmp_path / "a.mp4", frames)
    with pytest.raises(InputError, match=r"uint8 of shape \[n, H, W, 3\]"):
        save_contact(tmp_path / "a.png", frames)
    assert list(tmp_path.iterdir()) == []


def test_fps_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fps"):
        save_turntable(tmp_path / "a.mp4", moving_square(2, 32, 32), 0)


def test_folder_must_exist(tmp_path: Path) -> None:
    for save in (save_turntable, save_contact):
        with pytest.raises(FileNotFoundError):
            save(tmp_path / "missing" / "a.mp4", moving_square(2, 32, 32))


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """The encoder is another program and dies without a word: the reason must still be found."""
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np;"
        "from sctd.export.video import save_turntable;"
        "frames = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try: save_turntable(Path(sys.argv[1]), frames)\n"
        "except OSError as exc: sys.exit(exc.errno)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mp4")], check=False, timeout=60)
    assert done.returncode == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sctd.errors import SctdError

    (tmp_path / "a.mp4").write_text("old")
    monkeypatch.setattr("sctd.export.video._QUALITY", ["-crf", "nonsense"])
    with pytest.raises(SctdError, match="could not be encoded"):
        save_turntable(tmp_path / "a.mp4", moving_square(2, 32, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "old"


@pytest.mark.parametrize(
    ("n", "columns", "grid"),
    [(1, None, (1, 1)), (8, None, (2, 4)), (5, None, (2, 4)), (5, 2, (3, 2)), (20, None, (4, 5))],
)
def test_contact_sheet_holds_every_view(
    tmp_path: Path, n: int, columns: int | None, grid: tuple[int, int]
) -> None:
    views = moving_square(n, 16, 20)
    save_contact(tmp_path / "contact.png", views, columns)
    with Image.open(tmp_path / "contact.png") as image:
        sheet = np.asarray(image)
    rows, columns = grid
    assert sheet.shape == (rows * (16 + GAP) - GAP, columns * (20 + GAP) - GAP, 3)
    for i in range(n):
        top, left = i // columns * (16 + GAP), i % columns * (20 + GAP)
        np.testing.assert_array_equal(sheet[top : top + 16, left : left + 20], views[i])
