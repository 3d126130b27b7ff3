"""`sctd mesh`: any asset as a textured mesh, with a line about what it leaves out."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest
from cli_outcome import Outcome, tree
from PIL import Image
from shells import sphere
from torch import Tensor, tensor

from sctd.config.mesh import MeshSettings
from sctd.formats.write_ply import write_ply
from sctd.gaussians import Gaussians
from sctd_cli.mesh import mesh

Command = Callable[..., Outcome]
SMALL = (
    *("--faces", "300", "--texture", "64", "--resolution", "16"),
    *("--views", "16", "--view-size", "64"),
)
ORIGIN = tensor([0.0, 0.0, 0.0])


def write_ball(path: Path, count: int = 200, **changes: Tensor) -> Path:
    """A grey ball of a diameter of 1; some of its tensors may be others."""
    gaussians = sphere(ORIGIN, 0.5, count=count)
    path.parent.mkdir(exist_ok=True)
    write_ply(path, Gaussians(**{**gaussians.parameters(), **changes}))
    return path


def test_a_glb_of_a_run(sctd: Command, here: Path) -> None:
    write_ball(here / "run" / "asset.ply")
    done = sctd("mesh", "run", "-o", "new/b.glb", *SMALL)
    assert (done.code, done.out) == (0, "new/b.glb\n")
    assert done.err.startswith("new/b.glb: ")
    assert done.err.count("\n") == 1
    assert " triangles, a texture of 64 x 64; watertight; " in done.err
    assert tree(here / "new") == ["b.glb"]
    data = (here / "new" / "b.glb").read_bytes()
    described = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    bounds = described["accessors"][0]
    for low, high in zip(bounds["min"], bounds["max"], strict=True):
        assert -0.6 < low < -0.45
        assert 0.45 < high < 0.6


def test_an_obj_has_its_files_beside_it(sctd: Command, here: Path) -> None:
    write_ball(here / "a.ply")
    done = sctd("mesh", "a.ply", "-o", "new/b c.obj", *SMALL)
    assert (done.code, done.out) == (0, "new/b c.obj\n")
    assert tree(here / "new") == ["b c.obj", "b_c.mtl", "b_c.png"]
    with Image.open(here / "new" / "b_c.png") as image:
        assert image.size == (64, 64)


@pytest.mark.parametrize("flaw", ["clear", "nan", "empty"])
def test_what_has_no_surface_is_refused_and_nothing_is_written(sctd: Command, here: Path, flaw: str) -> None:
    asset = here / "a.ply"
    if flaw == "clear":
        write_ball(asset, 50, opacities=tensor([-10.0]).repeat(50))
    else:
        header, _, rows = write_ball(asset, 50).read_bytes().partition(b"end_header\n")
        width = len(rows) // 50
        kept = 0 if flaw == "empty" else 50
        header = header.replace(b"element vertex 50", b"element vertex %d" % kept)
        spoilt = struct.pack("<f", float("nan"))
        rows = b"".join(spoilt + rows[i * width + 4 : (i + 1) * width] for i in range(kept))
        asset.write_bytes(header + b"end_header\n" + rows)
    done = sctd("mesh", "a.ply", "-o", "new/b.glb", *SMALL)
    assert {"clear": "no mesh can be made", "nan": "a.ply", "empty": "a.ply"}[flaw] in done.error_line()
    assert tree(here) == ["a.ply"]


def test_refused_in_one_line(sctd: Command, here: Path) -> None:
    write_ball(here / "a.ply", 50)
    (here / "empty").mkdir()
    for name in ("there.glb", "b.png"):
        (here / name).touch()
    for arguments, says in (
        (("a.ply", "-o", "b.stl"), "give a file ending in .glb or .obj"),
        (("nothing.ply", "-o", "b.glb"), "nothing.ply is not a file"),
        (("empty", "-o", "b.glb"), "empty holds no asset.ply"),
        (("a.ply", "-o", "there.glb"), "there.glb exists; replace with --overwrite"),
        (("a.ply", "-o", "b.obj"), "b.png exists; replace with --overwrite"),
        (("a.ply", "-o", "c.glb", "--up", "x"), "--up must be y, -y or z"),
        (("a.ply", "-o", "c.glb", "--faces", "3"), "100"),
    ):
        done = sctd("mesh", *arguments)
        assert done.code == 2
        assert says in done.error_line()


def test_the_options_are_the_settings_of_a_run() -> None:
    """Names, defaults and ranges stand twice, so that help needs no settings."""
    parameters, hints = signature(mesh).parameters, get_type_hints(mesh, include_extras=True)
    for name, field in MeshSettings.model_fields.items():
        assert parameters[name].default == field.default, name
        (option,) = hints[name].__metadata__
        least, most = (getattr(limit, side) for limit, side in zip(field.metadata, ("ge", "le"), strict=True))
        assert (option.min, option.max) == (least, most), name
