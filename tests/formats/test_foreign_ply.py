"""What other programs write into a .ply of Gaussians: read as it is meant, or refused in one line.

Expected values are computed with numpy from the columns that were written.
"""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from ply_bytes import gaussian_columns, write

from sctd.errors import InputError
from sctd.formats.table import read_gaussians
from sctd.gaussians import Gaussians

SH0 = 0.28209479177387814
TURN = np.array([1, -1, -1], np.float32)


def read(path: Path, said: list[str] | None = None) -> Gaussians:
    """Read as y down; whatever is said must be asked for."""
    heard: list[str] = [] if said is None else said
    made = read_gaussians(path, "-y", heard.append)
    assert said is not None or heard == []
    assert all(bool(torch.isfinite(p).all()) for p in made.parameters().values())
    return made


def colors(made: Gaussians) -> Any:
    return made.sh0[:, 0].numpy() * SH0 + 0.5


def stack(columns: dict[str, Any], *names: str) -> Any:
    return np.stack([columns[name] for name in names], axis=1)


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_text_and_both_byte_orders_with_either_line_end(tmp_path: Path, order: str, newline: bytes) -> None:
    columns = gaussian_columns(5, 9)
    made = read(write(tmp_path / "a.ply", columns, order=order, newline=newline))
    assert_allclose(made.means.numpy() * TURN, stack(columns, "x", "y", "z"), rtol=1e-6)
    assert_allclose(made.scales.numpy(), stack(columns, "scale_0", "scale_1", "scale_2"), rtol=1e-6)
    assert_allclose(made.opacities.numpy(), columns["opacity"], rtol=1e-6)
    # degree 1: y, z, x; channel by channel in the file
    higher = stack(columns, *(f"f_rest_{i}" for i in range(9))).reshape(5, 3, 3).transpose(0, 2, 1)
    assert_allclose(made.shN.numpy(), higher * np.array([-1, -1, 1])[:, None], rtol=1e-6)


def test_carriage_returns_alone_end_a_header(tmp_path: Path) -> None:
    """The first byte of the rows may be a line feed then."""
    columns = gaussian_columns(3)
    columns["x"] = np.frombuffer(b"\n\n\n?" * 3, "<f4")
    made = read(write(tmp_path / "a.ply", columns, newline=b"\r"))
    assert_array_equal(made.means[:, 0].numpy(), columns["x"])


def test_order_of_properties_doubles_and_unknown_ones_change_nothing(tmp_path: Path) -> None:
    columns = gaussian_columns(4)
    expected = read(write(tmp_path / "a.ply", columns))
    other = {name: columns[name].astype("f8") for name in reversed(columns)}
    other["segment"] = np.arange(4, dtype="i4")
    got = read(write(tmp_path / "b.ply", other))
    for name, values in expected.parameters().items():
        assert torch.equal(values, getattr(got, name)), name


def test_a_list_among_the_properties_and_elements_around_the_vertices(tmp_path: Path) -> None:
    columns, said = gaussian_columns(2), list[str]()
    before = (b"element frame 2\nproperty uchar a\nproperty int b", bytes(10))
    after = (b"element version 1\nproperty list uchar uchar digits", b"\x03abc")
    got = read(write(tmp_path / "a.ply", columns, before=before, after=after), said)
    assert_array_equal(got.means.numpy() * TURN, stack(columns, "x", "y", "z"))
    assert said == [f"{tmp_path / 'a.ply'}: of its elements only 'vertex' is read, not 'frame', 'version'"]
    said.clear()
    lists = (b"element frame 1\nproperty list uchar uchar a", b"\x02ab")  # of unknown length, through plyfile
    got = read(write(tmp_path / "a.ply", columns, before=lists), said)
    assert_array_equal(got.means.numpy() * TURN, stack(columns, "x", "y", "z"))
    assert len(said) == 1


@pytest.mark.parametrize(
    "comment",
    ["erzeugt für Ärzte, 日本語".encode(), b"caf\xe9 latin-1", b"\xff\xfe\x00", b"", b"end_header?"],
)
@pytest.mark.parametrize("order", ["", "<"])
def test_comments_hold_any_bytes(tmp_path: Path, comment: bytes, order: str) -> None:
    path = write(tmp_path / "a.ply", gaussian_columns(3), order=order, head=(b"comment " + comment,))
    assert len(read(path)) == 3


@pytest.mark.parametrize(
    ("kind", "top"), [("u1", 255), ("u2", 65535), ("i4", 255), ("u2", 255), ("f4", 1), ("f8", 1)]
)
def test_plain_colours_of_gaussians(tmp_path: Path, kind: str, top: int) -> None:
    """As nerfstudio's color mode rgb has them: everything else is a Gaussian's as usual."""
    columns = {k: v for k, v in gaussian_columns(4).items() if not k.startswith("f_dc_")}
    levels = np.array([[0, 0.5, 1], [1, 0, 0.25], [0.2, 0.4, 0.6], [0, 0, 0]]) * top
    for i, name in enumerate(("red", "green", "blue")):
        columns[name] = levels[:, i].astype(kind)
    made = read(write(tmp_path / "a.ply", columns))
    assert_allclose(colors(made), levels.astype(kind) / top, atol=1e-6)
    assert_array_equal(made.opacities.numpy(), columns["opacity"])
    assert_array_equal(made.scales.numpy(), stack(columns, "scale_0", "scale_1", "scale_2"))
    assert_array_equal(
        made.quats.numpy() * np.float32([1, 1, -1, -1]), stack(columns, "rot_0", "rot_1", "rot_2", "rot_3")
    )


def test_coefficients_win_over_plain_colours(tmp_path: Path) -> None:
    columns = gaussian_columns(3)
    columns |= {name: np.zeros(3, "u1") for name in ("red", "green", "blue")}
    made = read(write(tmp_path / "a.ply", columns))
    assert_array_equal(made.sh0[:, 0].numpy(), stack(columns, "f_dc_0", "f_dc_1", "f_dc_2"))


def test_infinite_opacities_are_opaque_and_clear(tmp_path: Path) -> None:
    columns = gaussian_columns(3)
    columns["opacity"] = np.array([np.inf, -np.inf, 0.5], "f4")
    opacities = read(write(tmp_path / "a.ply", columns)).opacities.sigmoid()
    assert_allclose(opacities.numpy(), [1, 0, 1 / (1 + np.exp(-0.5))], atol=1e-6)


def test_flat_gaussians(tmp_path: Path) -> None:
    """No scale_2, or one of zero: 1e-6 thick, and the other scales as they are."""
    columns = gaussian_columns(3)
    del columns["scale_2"]
    scales = read(write(tmp_path / "a.ply", columns)).scales.numpy()
    assert_array_equal(scales[:, :2], stack(columns, "scale_0", "scale_1"))
    assert_allclose(np.exp(scales[:, 2]), 1e-6, rtol=1e-5)
    columns = gaussian_columns(3)
    columns["scale_1"][1] = -np.inf
    scales = read(write(tmp_path / "a.ply", columns)).scales.numpy()
    assert_allclose(np.exp(scales[1, 1]), 1e-6, rtol=1e-5)
    assert_array_equal(scales[[0, 2], 1], columns["scale_1"][[0, 2]])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("x", np.nan, "position not finite (1)"),
        ("z", -np.inf, "position not finite (1)"),
        ("f_dc_1", np.inf, "colour not finite (1)"),
        ("f_rest_3", np.nan, "colour coefficient not finite (1)"),
        ("opacity", np.nan, "opacity not a number (1)"),
        ("scale_0", np.inf, "scale not finite or negative (1)"),
        ("rot_2", np.nan, "rotation not finite or of length 0 (1)"),
    ],
)
def test_a_row_without_a_number_is_left_out_and_counted(
    tmp_path: Path, name: str, value: float, says: str
) -> None:
    columns, said = gaussian_columns(5, 9), list[str]()
    columns[name][2] = value
    made = read(write(tmp_path / "a.ply", columns), said)
    assert said == [f"{tmp_path / 'a.ply'}: 1 of 5 Gaussians are left out: {says}"]
    kept = [0, 1, 3, 4]
    assert_array_equal(made.means.numpy() * TURN, stack(columns, "x", "y", "z")[kept])
    assert_array_equal(made.opacities.numpy(), columns["opacity"][kept])


def test_rows_of_nan_and_one_without_rotation(tmp_path: Path) -> None:
    columns, said = gaussian_columns(5), list[str]()
    for values in columns.values():
        values[0] = np.nan
    for i in range(4):
        columns[f"rot_{i}"][3] = 0
    assert len(read(write(tmp_path / "a.ply", columns), said)) == 3
    (line,) = said
    assert "2 of 5 Gaussians are left out" in line
    assert "position not finite (1)" in line
    assert "rotation not finite or of length 0 (2)" in line
    for values in columns.values():
        values[:] = np.nan
    with pytest.raises(InputError, match=r"a\.ply holds no usable Gaussians: position not finite \(5\)"):
        read(write(tmp_path / "a.ply", columns))


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_rotations_of_any_length_turn_alike(tmp_path: Path, kind: str) -> None:
    """Lengths whose squares float32 lacks; others stay as they are, for an asset is read back exactly."""
    columns = gaussian_columns(4)
    lengths = np.array([1e-30, 1e20, 0.5, 1e300 if kind == "f8" else 1e30])
    unit = np.array([0.5, 0.5, -0.5, 0.5])
    for i in range(4):
        columns[f"rot_{i}"] = (lengths * unit[i]).astype(kind)
    quats = read(write(tmp_path / "a.ply", columns)).quats.numpy() * np.array([1, 1, -1, -1])
    assert_allclose(quats[[0, 1, 3]], np.tile(unit, (3, 1)), rtol=1e-6)
    assert_array_equal(quats[2], 0.5 * unit)


def test_doubles_beyond_float_are_left_out_without_a_warning(tmp_path: Path) -> None:
    columns, said = {k: v.astype("f8") for k, v in gaussian_columns(3).items()}, list[str]()
    columns["x"][0], columns["f_dc_0"][1] = 1e300, -1e300
    assert len(read(write(tmp_path / "a.ply", columns), said)) == 1
    assert "position not finite (1), colour not finite (1)" in said[0]
    text = gaussian_columns(2) | {"x": np.array([1e300, 0.5])}
    path = write(tmp_path / "b.ply", text, order="")
    path.write_bytes(path.read_bytes().replace(b"property double x", b"property float x"))
    assert len(read(path, said)) == 1


@pytest.mark.parametrize(
    ("rename", "says"),
    [
        ({"f_rest_8": "f_rest_9"}, "has 9 f_rest_* properties, and 'f_rest_8' is not among them"),
        ({"f_rest_4": "f_rest_x"}, "has 9 f_rest_* properties, and 'f_rest_4' is not among them"),
        ({"f_rest_0": "other"}, "has 8 f_rest_* properties; 0, 9, 24 or 45 are possible"),
        ({"f_dc_0": "red"}, "has the colour property 'red' without 'green'"),
        ({"scale_1": "scale_3"}, "property 'scale_1' is missing"),
        ({"x": "px"}, "property 'x' is missing"),
        ({"nx": "x"}, "has two properties 'x'"),
    ],
)
def test_refused_by_name(tmp_path: Path, rename: dict[str, str], says: str) -> None:
    path = write(tmp_path / "a.ply", gaussian_columns(3, 9))
    content = path.read_bytes()
    for old, new in rename.items():
        content = content.replace(f" {old}\n".encode(), f" {new}\n".encode())
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "level", "says"),
    [
        ("f4", 255, "red, green, blue are float32 and must be 0..1"),
        ("i4", 70000, "red, green, blue are int32 and must be 0..65535"),
        ("i4", -1, "red, green, blue are int32 and must be 0..255"),
    ],
)
def test_colours_that_would_be_a_guess(tmp_path: Path, kind: str, level: float, says: str) -> None:
    columns = {k: v for k, v in gaussian_columns(3).items() if not k.startswith("f_dc_")}
    columns |= {name: np.full(3, level, kind) for name in ("red", "green", "blue")}
    with pytest.raises(InputError, match=re.escape(says)):
        read(write(tmp_path / "a.ply", columns))
    columns["blue"] = columns["blue"].astype("f8")
    with pytest.raises(InputError, match="are of different types; use one type"):
        read(write(tmp_path / "a.ply", columns))


def test_a_billion_rows_in_a_kilobyte_cost_nothing(tmp_path: Path) -> None:
    for order in ("", "<", ">"):
        for count in (10**9, 10**30, 4):
            path = write(tmp_path / "a.ply", gaussian_columns(3), order=order, count=count)
            tracemalloc.start()
            with pytest.raises(InputError, match=r"a\.ply is damaged or not a \.ply file: ") as caught:
                read(path)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 8 << 20
            assert "\n" not in str(caught.value)
    lists = (b"element face 1000000000\nproperty list uchar int vertex_indices", b"")
    with pytest.raises(InputError, match="1000000000 of 'face'"):
        read(write(tmp_path / "a.ply", gaussian_columns(3), after=lists))


@pytest.mark.parametrize(("order", "what"), [("<", "68 bytes"), (">", "68 bytes"), ("", "1 lines")])
def test_rows_beyond_the_count_are_told(tmp_path: Path, order: str, what: str) -> None:
    columns, said = gaussian_columns(3), list[str]()
    path = write(tmp_path / "a.ply", columns, order=order, count=2)
    assert len(read(path, said)) == 2
    assert said == [f"{path}: {what} behind its last row are not read; its header may count too few"]


@pytest.mark.parametrize("order", ["", "<"])
def test_no_rows(tmp_path: Path, order: str) -> None:
    with pytest.raises(InputError, match=r"a\.ply holds no Gaussians"):
        read(write(tmp_path / "a.ply", {k: v[:0] for k, v in gaussian_columns(1).items()}, order=order))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"property float x", b"property half x"),
        (b"property float x", b"property float"),
        (b"format binary_little_endian 1.0\n", b""),
        (b"binary_little_endian", b"binary_middle_endian"),
        (b"element vertex 3", b"element vertex -3"),
        (b"element vertex 3", b"element vertex many"),
        (b"element vertex 3", b"element point 3"),
        (b"element vertex 3", b"element vertex 0\nelement vertex 3"),
        (b"end_header\n", b""),
        (b"ply\n", b"PK\n"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = write(tmp_path / "a.ply", gaussian_columns(3))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(InputError, match=r"a\.ply is damaged or not a \.ply file: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["word", "1 2", "", "1e", "300"])
def test_text_that_is_not_what_it_says(tmp_path: Path, word: str) -> None:
    columns = {"a": np.full(2, 7, "u1"), **gaussian_columns(2)}
    path = write(tmp_path / "a.ply", columns, order="")
    path.write_bytes(path.read_bytes().replace(b"end_header\n7", b"end_header\n" + word.encode()))
    with pytest.raises(InputError, match=r"a\.ply is damaged or not a \.ply file: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ksplat").touch()
    with pytest.raises(InputError, match=r"a\.ksplat': give a file ending in \.ply, \.splat"):
        read(tmp_path / "a.ksplat")
