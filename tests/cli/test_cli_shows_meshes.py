"""Commands take a mesh as they take Gaussians: a file, and the folder of a run that made one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Outcome, tree
from painted import painted_mesh, quarters, square
from PIL import Image
from small import small_config

from sctd.formats.table import MESH_WRITERS
from sctd.formats.write_mesh_glb import write_triangles_glb

Command = Callable[..., Outcome]


@pytest.fixture
def run(here: Path) -> Path:
    """A run whose result is a mesh."""
    folder = here / "run"
    folder.mkdir()
    write_triangles_glb(folder / "asset.glb", painted_mesh())
    return folder


def test_pictures_and_a_turntable_of_a_run(sctd: Command, run: Path) -> None:
    done = sctd("render", "run", "--size", "32", "--views", "2", "--frames", "2")
    assert (done.code, done.err) == (0, "")
    assert tree(run) == ["asset.glb", "contact.png", "turntable.mp4"]
    with Image.open(run / "contact.png") as sheet:
        assert sheet.size == (68, 32)
        assert 0.1 < (np.asarray(sheet.convert("RGB"))[:, :32] < 200).any(-1).mean() < 0.9


def test_every_layer_from_any_camera(sctd: Command, here: Path) -> None:
    MESH_WRITERS[".obj"](here / "a.obj", square(quarters()))
    layers = ("--show", "rgb", "--show", "alpha", "--show", "depth", "--show", "normals")
    done = sctd(
        "render", "a.obj", "--orbit", "1", "--size", "32", *layers, "--format", "npy", "--elevation", "0"
    )
    assert done.code == 0
    read = {
        name: np.load(here / "frames" / f"0000_{name}.npy") for name in ("rgb", "alpha", "depth", "normals")
    }
    assert read["alpha"][16, 16] == 1
    assert read["depth"][16, 16] == pytest.approx(3.15 - 0.6, abs=1e-4)
    assert read["normals"][16, 16] == pytest.approx([0, 0, 1], abs=1e-6)
    assert read["rgb"][0, 0].tolist() == [1, 1, 1]


def test_exports(sctd: Command, here: Path, run: Path) -> None:
    for name in ("a.glb", "a.html", "a.png"):
        done = sctd("export", "run", "-o", name, "--size", "32", "--views", "1")
        assert (done.code, done.out) == (0, f"{name}\n")
        assert done.err.startswith(f"{name}: 38 triangles; ")
    assert sctd("export", "a.glb", "-o", "b.glb").code == 0
    assert (here / "a.glb").read_bytes() == (here / "b.glb").read_bytes()


def test_refused_in_one_line(sctd: Command, here: Path, run: Path) -> None:
    (here / "empty").mkdir()
    for arguments, says in (
        (
            ("export", "run", "-o", "a.spz"),
            "cannot write 'a.spz' of a mesh: give a file ending in .glb, .html",
        ),
        (("export", "run", "-o", "a.glb", "--sh-degree", "1"), "--sh-degree is of the colours of Gaussians"),
        (("export", "empty", "-o", "a.glb"), "empty holds no asset.ply or asset.glb"),
        (
            ("mesh", "run", "-o", "a.glb"),
            "a mesh can be given to sctd render, export, view and generate --init",
        ),
        (("evaluate", "run/asset.glb"), "run/asset.glb is in no run folder (one with config.yaml)"),
    ):
        done = sctd(*arguments)
        assert done.code == 2
        assert says in done.error_line()
    assert not [path for path in here.iterdir() if path.is_file()]


def test_a_mesh_of_a_run_is_scored_like_its_result(sctd: Command, here: Path) -> None:
    """Both against the procedural truth; the run's result is a mesh too, of the same triangles."""
    folder = here / "run"
    folder.mkdir()
    config = small_config(1, "prior.name=embedded").with_changes(prompt="a red mushroom")
    (folder / "config.yaml").write_text(config.to_yaml())
    (folder / "log.jsonl").write_text(json.dumps({"iteration": 0, "seconds": 1.0}) + "\n")
    for name in ("asset.glb", "mesh.glb"):
        write_triangles_glb(folder / name, painted_mesh())
    done = sctd("evaluate", "run", "run/mesh.glb", "--json", "scores.json")
    assert done.code == 0, done.err
    one, two = json.loads((here / "scores.json").read_text())["runs"]
    assert (one["method"], two["method"]) == ("sctd", "sctd, mesh.glb")
    assert (one["folder"], two["folder"]) == ("run", "run/mesh.glb")
    assert one["scores"] == two["scores"]
    assert 0.2 < one["scores"]["iou"] < 0.9
