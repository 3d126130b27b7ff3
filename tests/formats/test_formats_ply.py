"""asset.ply: read back by a library of its own and by us; damaged files are refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch

from sctd.errors import InputError
from sctd.formats.table import read_gaussians
from sctd.formats.write_ply import write_ply
from sctd.gaussians import Gaussians


def random_gaussians(n: int = 5, degree: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(degree)
    rest = (degree + 1) ** 2 - 1
    shapes = ((n, 3), (n, 3), (n, 4), (n,), (n, 1, 3), (n, rest, 3))
    return Gaussians(*(torch.randn(shape, generator=generator) for shape in shapes))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_layout_is_the_standard_one(tmp_path: Path, degree: int) -> None:
    """Against the names, order and meaning that viewers expect, read by plyfile alone."""
    ours = random_gaussians(5, degree)
    write_ply(tmp_path / "asset.ply", ours)
    assert (
        (tmp_path / "asset.ply")
        .read_bytes()
        .startswith(b"ply\nformat binary_little_endian 1.0\ncomment sctd axes: y down\nelement vertex 5\n")
    )

    data = plyfile.PlyData.read(str(tmp_path / "asset.ply"))
    assert [element.name for element in data] == ["vertex"]
    vertex = data["vertex"]
    coefficients = (degree + 1) ** 2 - 1
    assert [p.name for p in vertex.properties] == (
        ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
        + [f"f_rest_{i}" for i in range(3 * coefficients)]
        + ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    )
    assert {p.val_dtype for p in vertex.properties} == {"f4"}
    # y down; the signs of the higher coefficients: test_axes.py
    for i, sign in enumerate((1, -1, -1)):
        np.testing.assert_array_equal(vertex["xyz"[i]], sign * ours.means[:, i])
        np.testing.assert_array_equal(vertex[f"f_dc_{i}"], ours.sh0[:, 0, i])
        np.testing.assert_array_equal(vertex[f"scale_{i}"], ours.scales[:, i])
        for k in range(coefficients):  # channel by channel
            stored = vertex[f"f_rest_{i * coefficients + k}"]
            np.testing.assert_array_equal(abs(stored), abs(ours.shN[:, k, i]))
    for i, sign in enumerate((1, 1, -1, -1)):
        np.testing.assert_array_equal(vertex[f"rot_{i}"], sign * ours.quats[:, i])
    np.testing.assert_array_equal(vertex["opacity"], ours.opacities)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_round_trip_is_exact(tmp_path: Path, degree: int) -> None:
    ours = random_gaussians(7, degree)
    write_ply(tmp_path / "asset.ply", ours)
    again = read_gaussians(tmp_path / "asset.ply")
    for (name, before), after in zip(ours.parameters().items(), again.parameters().values(), strict=True):
        assert torch.equal(before, after), name
        assert after.is_contiguous()
    write_ply(tmp_path / "again.ply", again)
    assert (tmp_path / "again.ply").read_bytes() == (tmp_path / "asset.ply").read_bytes()


@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, ">")])
def test_other_encodings_are_read(tmp_path: Path, text: bool, order: str) -> None:
    ours = random_gaussians(3, 1)
    write_ply(tmp_path / "asset.ply", ours)
    element = plyfile.PlyData.read(str(tmp_path / "asset.ply"))["vertex"]
    plyfile.PlyData([element], text=text, byte_order=order).write(str(tmp_path / "other.ply"))
    again = read_gaussians(tmp_path / "other.ply", up="-y")  # plyfile keeps no comments here
    assert torch.allclose(again.shN, ours.shN, atol=1e-5)


def test_gradient_and_double_are_no_obstacle(tmp_path: Path) -> None:
    ours = random_gaussians()
    ours.means = ours.means.double().requires_grad_()
    write_ply(tmp_path / "asset.ply", ours)
    assert read_gaussians(tmp_path / "asset.ply").means.dtype == torch.float32


@pytest.mark.parametrize("name", ["means", "scales", "quats", "opacities", "sh0"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite_is_never_written(tmp_path: Path, name: str, value: float) -> None:
    ours = random_gaussians()
    getattr(ours, name).view(-1)[3] = value
    with pytest.raises(InputError, match=f"1 values of {name} are not finite"):
        write_ply(tmp_path / "asset.ply", ours)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Gaussians"):
        write_ply(tmp_path / "asset.ply", random_gaussians(0))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "asset.ply"
    target.write_text("old")

    def fail(self: object, stream: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plyfile.PlyData, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        write_ply(target, random_gaussians())
    assert [path.name for path in tmp_path.iterdir()] == ["asset.ply"]
    assert target.read_text() == "old"


def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_ply(tmp_path / "missing" / "asset.ply", random_gaussians())


def splat_file(tmp_path: Path, **columns: object) -> Path:
    """A splat file of two Gaussians; a column of None is left out, other ones replace or extend it."""
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    values: dict[str, object] = {name: np.ones(2, np.float32) for name in names}
    values.update(columns)
    kept = {name: np.asarray(v) for name, v in values.items() if v is not None}
    vertices = np.empty(2, [(name, array.dtype) for name, array in kept.items()])
    for name, array in kept.items():
        vertices[name] = array
    path = tmp_path / "splat.ply"
    plyfile.PlyData([plyfile.PlyElement.describe(vertices, "vertex")]).write(str(path))
    return path


def test_normals_are_optional(tmp_path: Path) -> None:
    assert len(read_gaussians(splat_file(tmp_path))) == 2


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"opacity": None}, "property 'opacity' is missing"),
        ({"rot_3": None}, "property 'rot_3' is missing"),
        ({"scale_1": None}, "property 'scale_1' is missing"),
        ({"f_dc_2": None}, "property 'f_dc_2' is missing"),
        ({"f_rest_0": np.ones(2, np.float32)}, "1 f_rest_* properties; 0, 9, 24 or 45"),
        (
            {"scale_1": np.full(2, np.nan, np.float32)},
            "no usable Gaussians: scale not finite",
        ),
        ({"opacity": np.ones(2, np.uint8)}, "property 'opacity' is uint8, and must be float or double"),
        ({"scale_0": None, "f_dc_0": None}, "is not a splat file"),
        ({"packed_position": np.ones(2, np.uint32)}, "its property 'packed_rotation' is missing"),
        ({"f_dc_0": None, "f_dc_1": None, "f_dc_2": None, "red": np.ones(2, np.uint8)}, "without 'green'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, columns: dict[str, object], says: str) -> None:
    path = splat_file(tmp_path, **columns)
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_gaussians(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a ply",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 10\nproperty float x\nend_header\n\0",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nproperty float x\nend_header\n",
        b"ply\nformat ascii 1.0\nelement face 0\nproperty float x\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\nword\n",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 9999999999999\nproperty float x\nend_header\n",
        b"\xff\xfe" * 100,
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "asset.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_gaussians(path)
    assert "\n" not in str(caught.value)


def test_a_cut_asset_is_refused(tmp_path: Path) -> None:
    write_ply(tmp_path / "asset.ply", random_gaussians())
    whole = (tmp_path / "asset.ply").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "asset.ply").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_gaussians(tmp_path / "asset.ply")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.ply", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_gaussians(path)


def test_a_list_property_is_refused(tmp_path: Path) -> None:
    names = ["y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
    names += [f"rot_{i}" for i in range(4)]
    header = "".join(f"property float {name}\n" for name in names)
    text = f"ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar float x\n{header}end_header\n"
    (tmp_path / "a.ply").write_text(text + "2 1 1 " + "1 " * len(names) + "\n")
    with pytest.raises(InputError, match="is a list"):
        read_gaussians(tmp_path / "a.ply")
