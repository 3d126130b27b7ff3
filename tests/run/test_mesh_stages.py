"""Runs that end with a mesh: what they write, killed and resumed in each stage, and what is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import kill_after
from shells import shell, sphere, sphere_points
from small import small_config, small_prior

from sctd.config import Config, load_config
from sctd.config.load import stages_names
from sctd.errors import InputError
from sctd.formats.assets import read_asset
from sctd.formats.meshes.surface import Triangles
from sctd.formats.write_ply import write_ply
from sctd.gaussians import Gaussians
from sctd.pipeline import RunResult, generate
from sctd.preflight import check_config, check_settings
from sctd.run import checkpoint as checkpoints
from sctd.run.folder import ASSET_MESH, CHECKPOINTS, CONTACT, LOG, read_log
from sctd.run.report import Silent
from sctd.viewer import window
from sctd.viewer.visit import Seen, Visit

ITERATIONS, FIRST = 12, 6
"""Of the run, and of its first stage, of Gaussians; two stages with a mesh follow."""
STAGES = (
    "stages=[{name: coarse, share: 2}, {name: refine, share: 1, settings: {representation: mesh}},"
    " {name: more, share: 1, settings: {representation: mesh, method: sds, surface: {normals: 3}}}]"
)


class Heard(Silent):
    """What a run says."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Of a run that begins with a ball."""
    path = tmp_path_factory.mktemp("first") / "ball.ply"
    write_ply(path, sphere(torch.zeros(3), 0.5, count=400))
    small = ("surface.resolution=8", "surface.color_resolution=8", "surface.views=16", "surface.view_size=64")
    small = (*small, "mesh.texture=64", "mesh.faces=500")
    first = (
        "gaussians.init=file",
        f"gaussians.init_path={path}",
        "gaussians.count=400",
        "densify.strategy=none",
    )
    return (*first, *small, "output.checkpoint_every=2")


def run(
    out: Path, overrides: tuple[str, ...], *, resume: bool = False, stop: Callable[[], bool] | None = None
) -> tuple[RunResult, list[str]]:
    heard = Heard()
    config = small_config(ITERATIONS, *overrides)
    made = generate(config, out, resume=resume, prior=small_prior(), stop=stop, report=heard)
    return made, heard.messages


Whole = tuple[RunResult, list[str], tuple[str, ...]]
"""The result, what was said, and the settings."""


OF_STAGES = {
    "tetrahedra": (STAGES, "surface.kind=tetrahedra"),
    "triangles": (STAGES, "surface.kind=triangles"),
    "fantasia3d": ("stages=fantasia3d",),
}
"""What the runs of :func:`whole` have of their own."""


@pytest.fixture(scope="module", params=list(OF_STAGES))
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, overrides: tuple[str, ...]
) -> Whole:
    settings = (*overrides, *OF_STAGES[request.param])
    return *run(tmp_path_factory.mktemp("mesh") / "whole", settings), settings


@pytest.mark.parametrize("whole", ["tetrahedra", "triangles"], indirect=True)
def test_a_run_leaves_a_mesh_and_its_pictures(whole: Whole) -> None:
    made, messages, _ = whole
    assert made.asset == made.asset_glb == made.folder / ASSET_MESH
    assert (made.asset_ply, made.mesh_glb, made.n_gaussians) == (None, None, 0)
    assert made.contact_png is not None
    assert made.page_html is not None
    assert len(read_asset(made.asset)) <= 500
    assert any(text.startswith("asset.glb: ") and "watertight" in text for text in messages)
    assert tree_of(made.asset)["extensionsUsed"] == ["KHR_materials_unlit"]
    rows = read_log(made.folder / LOG)
    assert [row["iteration"] for row in rows] == list(range(ITERATIONS))
    assert all("gaussians" in row and "faces" not in row for row in rows[:FIRST])
    assert all(float(row["faces"] or 0) > 50 and float(row["normals"] or 0) > 0 for row in rows[FIRST:])
    assert all(row["evaluations"] == 4 for row in rows[9:]), "the last stage has a method of its own"
    assert (made.iterations, made.skipped) == (ITERATIONS, 0)


def test_stopped_and_killed_in_each_stage_it_ends_with_the_same_bits(tmp_path: Path, whole: Whole) -> None:
    """Stopped where the mesh is about to begin; killed with each of its two stages under way."""
    made, _, settings = whole
    asked = count(1)
    with pytest.raises(KeyboardInterrupt, match=f"after iteration {FIRST} of {ITERATIONS}"):
        run(tmp_path / "run", settings, stop=lambda: next(asked) >= FIRST)
    for at, stage in ((9, 1), (11, 2)):
        kill_after(tmp_path / "run", at, settings, iterations=ITERATIONS, resume=True)
        found, _ = checkpoints.latest(tmp_path / "run" / CHECKPOINTS)
        assert found is not None
        assert found.counters["stage"] == stage
    again, _ = run(tmp_path / "run", settings, resume=True)
    for name in (ASSET_MESH, CONTACT):
        assert (again.folder / name).read_bytes() == (made.folder / name).read_bytes(), name


@pytest.mark.parametrize("whole", ["tetrahedra"], indirect=True)
def test_a_viewer_sees_the_gaussians_and_then_the_mesh(
    tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the run is under way, finished, and from its last checkpoint; the run ends with the same bits."""
    monkeypatch.setattr(window, "LOOK_S", 0.0)
    monkeypatch.setattr(window, "SHARE", 1e9)
    seen: list[Seen] = []

    class Watching(Silent):
        visit: Visit | None = None

        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            self.visit = self.visit or Visit(tmp_path / "run", print)
            seen.extend(filter(None, [self.visit.news()]))

    made, _, settings = whole
    report = Watching()
    config = small_config(ITERATIONS, *settings)
    again = generate(config, tmp_path / "run", prior=small_prior(), report=report)
    assert again.asset.read_bytes() == made.asset.read_bytes()
    assert report.visit is not None
    finished = report.visit.news()
    again.asset.unlink()
    stopped = report.visit.news()
    report.visit.__exit__(None, None, None)
    kinds = [type(one.asset) for one in seen]
    assert kinds == sorted(kinds, key=[Gaussians, Triangles].index)
    assert set(kinds) == {Gaussians, Triangles}
    for last, says in ((finished, "finished"), (stopped, f"checkpoint after {ITERATIONS} iterations")):
        assert last is not None
        assert (type(last.asset), last.says) == (Triangles, says)
    (shown,), (kept,) = seen[-1].asset.surfaces, stopped.asset.surfaces
    assert len(shown.vertices) > 50
    assert shown.colors.std(0).max() > 0
    assert torch.isclose(shown.vertices.mean(0), kept.vertices.mean(0), atol=0.05).all()


@pytest.mark.parametrize("whole", ["fantasia3d"], indirect=True)
def test_a_run_of_geometry_and_appearance_leaves_a_material(whole: Whole) -> None:
    made, messages, _ = whole
    assert any("roughness and metal" in text for text in messages)
    assert made.asset == made.folder / ASSET_MESH
    tree = tree_of(made.asset)
    assert "extensionsUsed" not in tree
    looks = tree["materials"][0]["pbrMetallicRoughness"]
    assert looks == {"baseColorTexture": {"index": 0}, "metallicRoughnessTexture": {"index": 1}}


def tree_of(glb: Path) -> dict[str, Any]:
    """The JSON of a .glb."""
    data = glb.read_bytes()
    tree: dict[str, Any] = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
    return tree


def of(*settings: str) -> Config:
    return load_config(prompt="a red ball", overrides=settings)


MESH = "representation: mesh"
NOTHING = r"makes a mesh of nothing: gaussians\.init is ball; put a stage of Gaussians before it"


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([MESH], f"stage '0' {NOTHING}"),
        (["", MESH, ""], "stage '2' makes Gaussians after a mesh, which has none; put the mesh last"),
        (["", f"{MESH}, densify: {{every: 3}}"], "stage '1' makes a mesh, which does not read densify"),
        (
            ["", MESH, f"{MESH}, surface: {{resolution: 9}}"],
            r"stage '2' goes on with the mesh of the stage before; surface\.resolution must be the same",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_torch_is_loaded(stages: list[str], told: str) -> None:
    given = ", ".join(f"{{name: '{k}', settings: {{{settings}}}}}" for k, settings in enumerate(stages))
    with pytest.raises(InputError, match=told):
        check_settings(of(f"stages=[{given}]"))


def test_a_run_of_a_mesh_alone_needs_a_file() -> None:
    with pytest.raises(InputError, match=f"the run {NOTHING}"):
        check_settings(of("representation=mesh"))


def test_another_representation_is_refused() -> None:
    with pytest.raises(InputError, match="'representation' must be gaussians or mesh"):
        of("representation=cloud")


def test_gaussians_that_nobody_sees_make_no_mesh(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    path = tmp_path / "faint.ply"
    points = sphere_points(50)
    write_ply(path, shell(0.5 * points, points, torch.full((50, 3), 0.5), 0.1, opacity=0.05))
    settings = (*overrides, f"gaussians.init_path={path}", "representation=mesh")
    with pytest.raises(
        InputError, match=r"no mesh can be made: the object is nowhere opaque enough.*more iterations"
    ):
        run(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_named_stages_are_a_list() -> None:
    assert stages_names() == ["fantasia3d", "magic3d"]
    named, spelled = of("stages=magic3d"), load_config(prompt="a red ball", stages="magic3d")
    assert named == spelled
    assert [part.representation for part in named.parts()] == ["gaussians", "mesh"]
    assert load_config(prompt="a red ball").representation == "gaussians"
    check_settings(named)
    with pytest.raises(InputError, match="unknown stages 'nerf'; choose one of: fantasia3d, magic3d"):
        of("stages=nerf")


def test_geometry_and_then_appearance_are_for_priors_that_know_normal_maps() -> None:
    made = load_config(prompt="a red ball", preset="sd21", stages="fantasia3d")
    check_settings(made)
    assert [part.representation for part in made.parts()] == ["gaussians", "mesh", "mesh"]
    assert [part.surface.shown for part in made.parts()] == ["colors", "normals", "material"]
    with pytest.raises(InputError, match=r"the embedded prior has never seen a normal map.*magic3d"):
        check_config(of("stages=fantasia3d"))
