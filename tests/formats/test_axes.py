"""A file stands upright: y down as others write it, y up inside, whatever the degree of its colours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ply_bytes import gaussian_columns, write

from sctd.cameras import orbit_cameras
from sctd.errors import InputError
from sctd.formats.axes import HALF_TURN_SH
from sctd.formats.table import read_gaussians
from sctd.formats.write_ply import write_ply
from sctd.gaussians import SH_C0, Gaussians
from sctd.ops import rasterization
from sctd.render import render

ATOL = 1e-5
"""Signs alone are exact, a quarter turn is float32's rounding of the rotations."""

HALF_TURN = torch.diag(torch.tensor([1.0, -1, -1]))
Z_TO_Y = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # (x, y, z) => (x, z, -y)


def harmonics(x: float, y: float, z: float) -> list[float]:
    """Degrees 1 to 3 along a direction, without their constants: Kerbl et al. 2023's order."""
    xx, yy, zz = x * x, y * y, z * z
    one = [y, z, x]
    two = [x * y, y * z, 2 * zz - xx - yy, x * z, xx - yy]
    three = [y * (3 * xx - yy), x * y * z, y * (4 * zz - xx - yy), z * (2 * zz - 3 * xx - 3 * yy)]
    return [*one, *two, *three, x * (4 * zz - xx - yy), z * (xx - yy), x * (xx - 3 * yy)]


def test_signs_of_the_harmonics_are_those_of_the_turned_direction() -> None:
    for direction in np.random.default_rng(0).normal(size=(5, 3)):
        x, y, z = direction / np.linalg.norm(direction)
        np.testing.assert_allclose(
            harmonics(x, -y, -z), np.multiply(HALF_TURN_SH, harmonics(x, y, z)), atol=1e-15
        )


def lopsided(degree: int, count: int = 40) -> Gaussians:
    """Gaussians without any symmetry; a red one on top, a blue one at the left hand."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    made = Gaussians(
        means=0.3 * normal(count, 3),
        scales=-2.5 + 0.7 * normal(count, 3),
        quats=normal(count, 4),
        opacities=normal(count),
        sh0=normal(count, 1, 3),
        shN=0.3 * normal(count, (degree + 1) ** 2 - 1, 3),
    )
    for i, place, color in ((0, (0.0, 0.8, 0.0), (1.0, 0, 0)), (1, (0.8, 0.0, 0.0), (0, 0, 1.0))):
        made.means[i] = torch.tensor(place)
        made.sh0[i, 0] = (torch.tensor(color) - 0.5) / SH_C0
        made.shN[i], made.opacities[i], made.scales[i] = 0.0, 5.0, -2.3
    return made


def read_independently(path: Path) -> dict[str, NDArray[np.float32]]:
    """The columns of a little-endian .ply of floats, with numpy alone."""
    header, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[2].decode() for line in header.splitlines() if line.startswith(b"property float ")]
    table = np.frombuffer(body, "<f4").reshape(-1, len(names))
    return {name: table[:, i] for i, name in enumerate(names)}


def picture(columns: dict[str, NDArray[np.float32]], turn: torch.Tensor) -> torch.Tensor:
    """What our cameras would see if the world of a file were turned, [C, H, W, 3]: nothing but they move."""

    def stack(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([columns[name] for name in names], axis=1))

    cameras = orbit_cameras(4, 20.0, 3.0, 40.0, 48)
    viewmats = cameras.viewmats.clone()
    viewmats[:, :3, :3] = viewmats[:, :3, :3] @ turn
    rest = sum(name.startswith("f_rest_") for name in columns)
    colors = stack("f_dc_0", "f_dc_1", "f_dc_2")[:, None, :]
    if rest:
        higher = stack(*(f"f_rest_{i}" for i in range(rest))).reshape(len(colors), 3, -1)
        colors = torch.cat((colors, higher.transpose(1, 2)), dim=1)
    seen, _, _ = rasterization(
        stack("x", "y", "z"),
        stack("rot_0", "rot_1", "rot_2", "rot_3"),
        stack("scale_0", "scale_1", "scale_2").exp(),
        stack("opacity")[:, 0].sigmoid(),
        colors.contiguous(),
        viewmats,
        cameras.Ks,
        48,
        48,
        sh_degree=round((rest / 3 + 1) ** 0.5) - 1,
        backgrounds=torch.ones(4, 3),
    )
    return seen


def ours(gaussians: Gaussians) -> torch.Tensor:
    cameras = orbit_cameras(4, 20.0, 3.0, 40.0, 48)
    return render(gaussians, cameras, torch.ones(4, 3)).rgb.permute(0, 2, 3, 1)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_an_asset_stands_upright_where_y_is_down(tmp_path: Path, degree: int) -> None:
    """Pictures of the bytes, in a world turned as other programs turn it, are those of what was written."""
    made = lopsided(degree)
    write_ply(tmp_path / "a.ply", made)
    columns = read_independently(tmp_path / "a.ply")
    assert columns["y"][0] == np.float32(-0.8)  # the red one is on top
    assert columns["x"][1] == np.float32(0.8)
    seen = picture(columns, HALF_TURN)
    torch.testing.assert_close(seen, ours(made), atol=ATOL, rtol=0)
    assert float((seen - picture(columns, torch.eye(3))).abs().mean()) > 0.02  # and not if it is not turned


@pytest.mark.parametrize("up", ["y", "-y", "z"])
@pytest.mark.parametrize("degree", [0, 3])
def test_every_up_axis_is_brought_to_ours(tmp_path: Path, up: str, degree: int) -> None:
    rest = 3 * ((degree + 1) ** 2 - 1)
    columns = gaussian_columns(40, rest)
    for i in range(3):
        columns[f"scale_{i}"] -= np.float32(2.5)
    path = write(tmp_path / "a.ply", columns)
    turn = {"y": torch.eye(3), "-y": HALF_TURN, "z": Z_TO_Y}[up]
    read = read_gaussians(path, up)  # type: ignore[arg-type]
    torch.testing.assert_close(ours(read), picture(columns, turn), atol=ATOL, rtol=0)


def test_a_mark_decides_and_a_person_overrules_it(tmp_path: Path) -> None:
    columns = gaussian_columns()
    y = torch.from_numpy(columns["y"])
    for mark, sign in ((b"y down", -1), (b"y up", 1)):
        path = write(tmp_path / "a.ply", columns, head=(b"comment sctd axes: " + mark,))
        said: list[str] = []
        assert torch.equal(read_gaussians(path, say=said.append).means[:, 1], sign * y)
        assert torch.equal(read_gaussians(path, "y").means[:, 1], y)
        assert said == []
    path = write(tmp_path / "a.ply", columns, head=(b"comment sctd axes: sideways",))
    with pytest.raises(InputError, match=r"a\.ply: its comment 'sctd axes' says 'sideways'; y down"):
        read_gaussians(path)


def test_without_a_mark_a_file_is_y_down_and_it_is_said_if_it_may_be_an_older_asset(tmp_path: Path) -> None:
    columns, said = gaussian_columns(), list[str]()
    path = write(tmp_path / "asset.ply", columns)
    assert torch.equal(read_gaussians(path, say=said.append).means[:, 1], -torch.from_numpy(columns["y"]))
    (line,) = said
    assert line.startswith(f"{path}: it does not say which axis is up; taken as y down")
    assert "--up y" in line
    assert "gaussians.init_up=y" in line
    # never said of other programs' files, nor to who has said it
    read_gaussians(write(path, columns, head=(b"comment Generated by another",)), say=said.append)
    read_gaussians(write(path, dict(reversed(columns.items()))), say=said.append)
    read_gaussians(write(path, columns), "-y", said.append)
    assert len(said) == 1


def test_an_older_asset_is_known_by_its_run_folder(tmp_path: Path) -> None:
    columns, said = gaussian_columns(), list[str]()
    path = write(tmp_path / "asset.ply", columns)
    for name in ("config.yaml", "log.jsonl"):
        (tmp_path / name).touch()
    assert torch.equal(read_gaussians(path, say=said.append).means[:, 1], torch.from_numpy(columns["y"]))
    assert said == [f"{path}: an asset without a mark of its axes in a run folder, so an older one: y up"]
    shutil.copy(path, tmp_path / "other.ply")
    assert torch.equal(read_gaussians(tmp_path / "other.ply").means[:, 1], -torch.from_numpy(columns["y"]))
