"""Runs that start from point clouds and splat files, .ply and .splat."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from mesh_files import write_cube

from sctd.config import load_config
from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.export.table import export
from sctd.formats.write_ply import write_ply
from sctd.gaussians import SH_C0, Gaussians
from sctd.initial.start import initialise
from sctd.run.folder import CONFIG, RunFolder, read_config


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(path: Path, said: list[str] | None = None, seed: int = 0, **settings: object) -> Gaussians:
    chosen = GaussianSettings.model_validate({"init": "file", "init_path": str(path), **settings})
    heard: list[str] = [] if said is None else said
    made = initialise(chosen, generator(seed), say=heard.append)
    assert said is not None or heard == []
    return made


def write_cloud(path: Path, count: int = 30) -> Path:
    rows = [(0.03 * i, 0.0, 0.0, 255, 0, 51) for i in range(count)]
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    plyfile.PlyData([plyfile.PlyElement.describe(np.array(rows, dtype=kinds), "vertex")]).write(str(path))
    return path


def test_a_point_cloud(tmp_path: Path) -> None:
    made = start(write_cloud(tmp_path / "points.ply"))
    torch.testing.assert_close(made.means[:, 0], 0.03 * torch.arange(30))
    torch.testing.assert_close(0.5 + SH_C0 * made.sh0[0, 0], torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(made.scales[15].exp(), torch.full((3,), 0.12 / 3), rtol=1e-5, atol=0)


def test_too_many_points_are_thinned_by_the_seed_and_it_is_said_once(tmp_path: Path) -> None:
    path, said = write_cloud(tmp_path / "points.ply"), list[str]()
    made = start(path, said, count=20)
    assert said == [f"{path} holds 30 points; 20 of them are used (gaussians.count)"]
    assert len(made) == len(made.means[:, 0].unique()) == 20
    assert torch.equal(made.means, start(path, [], count=20).means)
    assert not torch.equal(made.means, start(path, [], seed=1, count=20).means)


def test_a_splat_ply_comes_as_it_is(tmp_path: Path) -> None:
    first = initialise(GaussianSettings(count=10, sh_degree=1), generator())
    write_ply(tmp_path / "a.PLY", first)  # endings in any case
    again = start(tmp_path / "a.PLY", sh_degree=2, count=5)  # a splat file is not thinned
    for name in ("means", "scales", "quats", "opacities", "sh0"):
        torch.testing.assert_close(getattr(again, name), getattr(first, name))
    assert again.sh_degree == 2


HEADER = (
    b"ply\nformat ascii 1.0\nelement vertex %d\n"
    b"property float x\nproperty float y\nproperty float z\nend_header\n"
)


@pytest.mark.parametrize("ending", [".splat", ".spz", ".sog", ".glb", ".npz"])
def test_gaussians_of_every_format_come_as_they_are(tmp_path: Path, ending: str) -> None:
    written = start(write_cloud(tmp_path / "a.ply"), sh_degree=0)
    export(tmp_path / f"b{ending}", written)
    found = start(tmp_path / f"b{ending}", sh_degree=0)
    distances = torch.cdist(written.means, found.means).amin(dim=1)
    assert len(found) == len(written)
    assert float(distances.max()) < 1e-3  # a .sog has 16 bits


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not a ply",
        b"ply\nformat ascii 1.0\nend_header\n",
        HEADER % 0,
        HEADER % 2 + b"0 0 0\n",
        HEADER % 1 + b"0 nan 0\n",
        HEADER % 1 + b"0 inf 0\n",
        (HEADER % 1).replace(b"float y", b"list uchar float y") + b"0 1 5 0\n",
        (HEADER % 1).replace(b"property float y\n", b"") + b"0 0\n",
    ],
)
def test_a_bad_ply_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.ply"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"cannot .*bad\.ply: |bad\.ply is damaged|bad\.ply: it holds n"
    ) as caught:
        start(path)
    assert "\n" not in str(caught.value)


def splat_without_opacity(path: Path) -> None:
    write_ply(path, initialise(GaussianSettings(count=10), generator()))
    path.write_bytes(path.read_bytes().replace(b" opacity\n", b" opacitz\n"))


def faces_of_nothing(path: Path) -> None:
    write_cube(path)
    path.write_text(path.read_text().replace("vertex_indices", "neighbours"))


def packed(path: Path) -> None:
    """Points under other names, as compressed Gaussians have them."""
    array = np.zeros(3, [("packed_position", "u4"), ("packed_color", "u4")])
    plyfile.PlyData([plyfile.PlyElement.describe(array, "vertex")]).write(str(path))


def coloured(kind: str, level: float) -> Callable[[Path], None]:
    array = np.full(3, level, [(name, "f4") for name in "xyz"] + [(c, kind) for c in COLORS])
    cloud = plyfile.PlyData([plyfile.PlyElement.describe(array, "vertex")])
    return lambda path: cloud.write(str(path))


COLORS = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (splat_without_opacity, "a.ply is not a splat file: property 'opacity' is missing"),
        (faces_of_nothing, "a.ply: it is damaged or no .ply file"),
        (
            packed,
            "a.ply: its property 'packed_rotation' is missing",
        ),
        (
            coloured("i4", 70000),
            "a.ply: its colours red, green, blue are int32 and must be 0..65535, but some",
        ),
        (
            coloured("f4", 255),
            "a.ply: its colours red, green, blue are float32 and must be 0..1, but some are",
        ),
    ],
)
def test_a_ply_of_another_kind_is_told_apart(
    tmp_path: Path, write: Callable[[Path], None], says: str
) -> None:
    write(tmp_path / "a.ply")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        start(tmp_path / "a.ply")
    assert "\n" not in str(caught.value)


def test_faces_decide_between_a_mesh_and_points(tmp_path: Path) -> None:
    """The cube has 24 vertices; without its faces they are points."""
    path = write_cube(tmp_path / "a.ply")
    assert len(start(path, count=100)) == 100
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-12]).replace("element face 12", "element face 0"))
    assert len(start(path, count=100)) == 24


def test_runs_of_before_said_ply(tmp_path: Path) -> None:
    """Their config.yaml is read, equals one that says file, and starts the same run."""
    path = write_cloud(tmp_path / "points.ply")
    new = load_config(prompt="x", overrides=["gaussians.init=file", f"gaussians.init_path={path}"])
    (tmp_path / CONFIG).write_text(new.to_yaml().replace("init: file", "init: ply"))
    assert "init: ply" in (tmp_path / CONFIG).read_text()
    with RunFolder.reopen(tmp_path, new):
        pass
    assert torch.equal(initialise(read_config(tmp_path).gaussians, generator()).means, start(path).means)


def test_runs_of_before_had_y_for_the_up_axis(tmp_path: Path) -> None:
    """Where no file is read it means nothing, and an older run goes on under the same command."""
    new = load_config(prompt="x")
    text = new.to_yaml().replace("init_up: null", "init_up: y")
    assert "init_up: y" in text
    (tmp_path / CONFIG).write_text(text)
    RunFolder.reopen(tmp_path, new)


def test_as_many_gaussians_as_the_preset_says() -> None:
    """81,920 is what the released run of the method starts from."""
    for preset, count in (("sd21", 81_920), ("embedded", 4000)):
        assert load_config(preset, prompt="x").gaussians.count == count
    many = load_config("sd21", prompt="x").gaussians
    assert len(initialise(many, generator())) == 81_920


def test_other_endings_are_refused_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "a.fbx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"a\.fbx'.*\.ply, \.splat, .*, \.npz, \.obj, \.stl"):
        start(tmp_path / "a.fbx")
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        start(tmp_path / "folder.glb")
