"""Read from .splat: every record as its layout says, y down, with the rules that a .ply has."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from sctd.errors import InputError
from sctd.formats.table import read_gaussians
from sctd.gaussians import SH_C0, Gaussians


def record(**changes: tuple[float, ...]) -> bytes:
    """By the description of the layout."""
    parts = {"mean": (1.0, -2.0, 3.0), "scale": (0.5, 0.25, 0.125)} | changes
    rgba, quat = parts.get("rgba", (255, 0, 51, 204)), parts.get("quat", (128, 160, 255, 96))
    packed = struct.pack("<6f", *parts["mean"], *parts["scale"])
    return packed + bytes(int(v) for v in rgba) + bytes(int(v) for v in quat)


def read(folder: Path, *records: bytes, said: list[str] | None = None, name: str = "a.splat") -> Gaussians:
    (folder / name).write_bytes(b"".join(records))
    heard: list[str] = [] if said is None else said
    made = read_gaussians(folder / name, say=heard.append)
    assert said is not None or heard == []
    return made


def test_a_splat_file(tmp_path: Path) -> None:
    made = read(tmp_path, record(), record(rgba=(0, 0, 0, 0)), record(rgba=(0, 0, 0, 255)), name="a.SPLAT")
    assert len(made) == 3
    assert made.sh_degree == 0
    means, quats, scales, opacities, *_ = made.activated()
    assert means.dtype == torch.float32
    assert means[0].tolist() == [1.0, 2.0, -3.0]
    torch.testing.assert_close(scales[0], torch.tensor([0.5, 0.25, 0.125]))
    torch.testing.assert_close(0.5 + SH_C0 * made.sh0[0, 0], torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(quats[0], torch.tensor([0.0, 0.25, -127 / 128, 0.25]))  # wxyz
    torch.testing.assert_close(opacities, torch.tensor([0.8, 0.5 / 255, 1 - 0.5 / 255]))


def test_a_scale_of_zero_is_flat(tmp_path: Path) -> None:
    scales = read(tmp_path, record(scale=(1, 0, 1))).scales.exp()
    torch.testing.assert_close(scales[0], torch.tensor([1.0, 1e-6, 1.0]))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (record(mean=(0, float("nan"), 0)), "position not finite (1)"),
        (record(scale=(1, float("inf"), 1)), "scale not finite or negative (1)"),
        (record(scale=(1, -1, 1)), "scale not finite or negative (1)"),
        (record(quat=(128, 128, 128, 128)), "rotation not finite or of length 0 (1)"),
    ],
)
def test_a_record_that_is_no_gaussian_is_left_out_and_counted(tmp_path: Path, bad: bytes, says: str) -> None:
    said: list[str] = []
    assert len(read(tmp_path, record(), bad, record(), said=said)) == 2
    assert said == [f"{tmp_path / 'a.splat'}: 1 of 3 Gaussians are left out: {says}"]
    with pytest.raises(InputError, match="holds no usable Gaussians"):
        read(tmp_path, bad)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a.splat holds no Gaussians"),
        (record()[:-1], "31 bytes, no multiple of 32"),
        (record() + b"\n", "33 bytes, no multiple of 32"),
        (b"ply\nformat ascii 1.0\n" + bytes(11), "a.splat is a .ply file; rename it"),
    ],
)
def test_a_bad_splat_file_is_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_splat_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*: No such file"):
        read_gaussians(tmp_path / "a.splat")
