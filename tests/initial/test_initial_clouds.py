"""Clouds of other programs: colours by any name, rows without a point, places that no camera sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.gaussians import SH_C0, Gaussians
from sctd.initial.start import initialise


def write(path: Path, **columns: NDArray[Any]) -> Path:
    """One element "vertex" of these columns."""
    rows = np.empty(len(columns["x"]), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")]).write(str(path))
    return path


def points(count: int = 200, spread: float = 0.3) -> NDArray[np.float64]:
    return spread * np.random.default_rng(0).normal(size=(count, 3))


def xyz(values: NDArray[np.float64], kind: str = "f8") -> dict[str, NDArray[Any]]:
    return {name: values[:, i].astype(kind) for i, name in enumerate("xyz")}


def start(path: Path, **settings: object) -> tuple[Gaussians, list[str]]:
    said: list[str] = []
    chosen = GaussianSettings.model_validate({"init": "file", "init_path": str(path), **settings})
    return initialise(chosen, torch.Generator().manual_seed(0), say=said.append), said


def colors(made: Gaussians) -> Any:
    return made.sh0[:, 0].numpy() * SH_C0 + 0.5


@pytest.mark.parametrize("names", ["red green blue", "r g b", "diffuse_red diffuse_green diffuse_blue"])
@pytest.mark.parametrize(("kind", "top"), [("u1", 255), ("u2", 65535), ("i4", 255), ("f4", 1)])
def test_colours_by_every_name_and_width(tmp_path: Path, names: str, kind: str, top: int) -> None:
    levels = (top * np.random.default_rng(1).random((50, 3))).astype(kind)
    levels[0] = top
    named = {name: levels[:, i] for i, name in enumerate(names.split())}
    made, said = start(write(tmp_path / "a.ply", **xyz(points(50)), **named))
    assert_allclose(colors(made), levels / top, atol=1e-6)
    assert said == []


def test_colours_by_no_known_name_are_told(tmp_path: Path) -> None:
    grey = np.full(200, 9, "u1")
    made, said = start(write(tmp_path / "a.ply", **xyz(points()), intensity=grey), init_color=(0.1, 0.2, 0.3))
    assert_allclose(colors(made)[0], (0.1, 0.2, 0.3), atol=1e-6)
    (line,) = said
    assert line.startswith(f"{tmp_path / 'a.ply'}: it has no colours (red green blue or r g b or diffuse_red")
    assert line.endswith("gaussians.init_color is used; not read: intensity")
    assert start(write(tmp_path / "b.ply", **xyz(points())))[1] == []  # nothing is there to be told
    with pytest.raises(InputError, match=r"c\.ply has the colour property 'r' without 'b'"):
        start(write(tmp_path / "c.ply", **xyz(points()), r=grey, g=grey))


def test_an_alpha_that_would_matter_is_told(tmp_path: Path) -> None:
    level = np.full(200, 255, "u1")
    rgb = dict.fromkeys(("red", "green", "blue"), level)
    assert start(write(tmp_path / "a.ply", **xyz(points()), **rgb, alpha=level))[1] == []
    _, said = start(write(tmp_path / "b.ply", **xyz(points()), **rgb, alpha=level // 2))
    (line,) = said
    assert "b.ply: its alpha is not read; every Gaussian starts with gaussians.init_opacity" in line


def test_rows_without_a_point_are_left_out_and_counted(tmp_path: Path) -> None:
    """As depth cameras write them; so is a double that no float holds."""
    places, level = points(), np.full(200, 0.5, "f4")
    places[3], places[7, 1], places[9, 2] = np.nan, np.inf, 1e300
    level[11] = np.nan
    made, said = start(write(tmp_path / "a.ply", **xyz(places), red=level, green=level, blue=level))
    kept = np.delete(places, (3, 7, 9, 11), axis=0)
    assert_array_equal(made.means.numpy(), kept.astype("f4"))
    assert said == [
        f"{tmp_path / 'a.ply'}: 4 of 200 points are left out: position not finite (3), colour not finite (1)"
    ]
    with pytest.raises(InputError, match="holds no usable points"):
        start(write(tmp_path / "b.ply", **xyz(np.full((5, 3), np.nan))))


@pytest.mark.parametrize("offset", [(6e5, 5.4e6, 120.0), (1e9, 0, 0)])
def test_map_coordinates_are_fitted_before_they_are_rounded(
    tmp_path: Path, offset: tuple[float, ...]
) -> None:
    """A float near 5.4e6 knows half a unit; the shape, fitted, keeps the precision of its doubles."""
    shape = points(spread=1.0)
    made, said = start(write(tmp_path / "a.ply", **xyz(shape + offset)))
    got = made.means.double().numpy()
    low, high = np.quantile(shape, (0.01, 0.99), axis=0)
    expected = shape - (low + high) / 2
    expected *= 0.6 / np.quantile(np.linalg.norm(expected, axis=1), 0.99)
    assert_allclose(got, expected, atol=1e-6)
    (line,) = said
    assert line.startswith(f"{tmp_path / 'a.ply'} is out of view: 0% of it lies within 2 of the origin")
    assert "it is moved and scaled to gaussians.init_radius = 0.6" in line


@pytest.mark.parametrize("scale", [300.0, 1e-3])
def test_millimetres_and_specks_are_fitted(tmp_path: Path, scale: float) -> None:
    made, said = start(write(tmp_path / "a.ply", **xyz(scale * points())))
    assert 0.55 < float(made.means.norm(dim=1).quantile(0.99)) < 0.65
    assert "is out of view" in said[0]


def test_what_is_in_view_stays_with_a_few_outliers(tmp_path: Path) -> None:
    places = points()
    places[:10] += 50
    made, said = start(write(tmp_path / "a.ply", **xyz(places)))
    assert_array_equal(made.means.numpy(), places.astype("f4"))
    assert said == []


def test_without_a_fit_it_is_told_and_nothing_moves(tmp_path: Path) -> None:
    places = points() + 100
    made, said = start(write(tmp_path / "a.ply", **xyz(places)), init_fit=False)
    assert_array_equal(made.means.numpy(), places.astype("f4"))
    assert said[0].endswith("leave out gaussians.init_fit=false to have it moved and scaled")


def test_gaussians_are_fitted_with_their_sizes(tmp_path: Path) -> None:
    places = 1000 * points() + (6e5, 0, 0)
    columns = xyz(places) | {name: np.zeros(200, "f4") for name in ("f_dc_0", "f_dc_1", "f_dc_2", "opacity")}
    columns |= {name: np.full(200, np.log(20), "f4") for name in ("scale_0", "scale_1", "scale_2")}
    columns |= {f"rot_{i}": np.full(200, 0.5, "f4") for i in range(4)}
    made, said = start(write(tmp_path / "a.ply", **columns))
    spread = np.linalg.norm(places[0] - places[1])
    factor = float((made.means[0] - made.means[1]).norm()) / spread
    assert_allclose(made.scales.exp().numpy(), 20 * factor, rtol=1e-4)
    step = (made.means[0] - made.means[1]).numpy()
    assert_allclose(step, factor * (places[0] - places[1]) * [1, -1, -1], rtol=1e-4)
    assert "is out of view" in said[0]


def test_the_up_axis_of_points(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ply", **xyz(points(), "f4"))
    x, y, z = points().astype("f4").T
    for up, expected in ((None, (x, y, z)), ("y", (x, y, z)), ("-y", (x, -y, -z)), ("z", (x, z, -y))):
        assert_array_equal(start(path, init_up=up)[0].means.numpy(), np.stack(expected, axis=1))
