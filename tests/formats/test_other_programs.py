"""Programs of other people find in our files what we put there, and we in theirs.

splat-transform is PlayCanvas's (npm), gaussforge and gsply are from PyPI: three codecs of their own. All of
them treat a .spz as a .ply, so that what they hold is y down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gaussforge
import gsply
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_assets import lopsided

from sctd.export.table import Options, export
from sctd.formats.axes import half_turn
from sctd.formats.table import read_gaussians
from sctd.formats.write_ply import property_names
from sctd.gaussians import Gaussians

Table = dict[str, NDArray[np.float64]]
Node = Callable[..., str]

DEGREE = 2
EXACT = {"scale": 1e-6, "rot": 1e-6, "opacity": 1e-6, "f_dc": 1e-6, "f_rest": 1e-6}
PACKED = {"scale": 0.04, "rot": 0.01, "opacity": 1 / 255, "f_dc": 0.04, "f_rest": 0.02}
"""Eight bits: the largest steps of all these formats, some of which programs cut instead of rounding.

test_round_trips.py has each of ours."""
SMALL = {**PACKED, "f_rest": 0.067}
"""As the others pack a .spz: directions in 5 and 4 bits."""
ROUGH = {**SMALL, "rot": 0.1}
"""Version 2: three bytes, and w from their squares, which magnifies their steps where it is small."""


def as_properties(gaussians: Gaussians) -> Table:
    """As a .ply has them, y down."""
    turned = half_turn(gaussians)
    rest = turned.shN.permute(0, 2, 1).reshape(len(turned), -1)
    parts = [turned.means, 0 * turned.means, turned.sh0[:, 0], rest, turned.opacities[:, None]]
    columns = np.hstack([part.double().numpy() for part in [*parts, turned.scales, turned.quats]])
    return dict(zip(property_names(rest.shape[1]), columns.T, strict=True))


def compare(found: Table, wanted: Table, near: dict[str, float]) -> None:
    """Row by row, each the nearest; rotations up to their sign, opacities as they are used."""
    where = [np.stack([t[a] for a in "xyz"], axis=1) for t in (wanted, found)]
    distance = np.linalg.norm(where[0][:, None] - where[1][None], axis=2)
    order = distance.argmin(axis=1)
    assert len(set(order)) == len(order) == len(where[1])
    assert distance.min(axis=1).max() < 2e-3
    quats = [np.stack([t[f"rot_{i}"] for i in range(4)], axis=1) for t in (wanted, found)]
    quats = [q / np.linalg.norm(q, axis=1, keepdims=True) for q in (quats[0], quats[1][order])]
    signs = np.sign((quats[0] * quats[1]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(signs * quats[1], quats[0], atol=near["rot"])
    for name in wanted:
        if name.startswith(("scale_", "f_dc_", "f_rest_")):
            bound = near[name.rpartition("_")[0]]
            np.testing.assert_allclose(found[name][order], wanted[name], atol=bound, err_msg=name)
    alphas = [1 / (1 + np.exp(-t["opacity"])) for t in (wanted, found)]
    np.testing.assert_allclose(alphas[1][order], alphas[0], atol=near["opacity"])


def from_csv(path: Path) -> Table:
    """What splat-transform read, by its own names: those of a .ply."""
    names = path.read_text().partition("\n")[0].split(",")
    return dict(zip(names, np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2).T, strict=True))


def from_columns(means: Any, scales: Any, quats: Any, opacities: Any, sh0: Any, shN: Any) -> Table:
    """From arrays [N, ...], shN [N, K, 3]."""
    rest = np.asarray(shN).transpose(0, 2, 1).reshape(len(means), -1)
    nothing = np.zeros((len(means), 3))
    parts = [means, nothing, np.reshape(sh0, (-1, 3)), rest, np.reshape(opacities, (-1, 1)), scales, quats]
    columns = np.hstack([np.asarray(part, np.float64) for part in parts])
    return dict(zip(property_names(rest.shape[1]), columns.T, strict=True))


def by_gaussforge(path: Path, kind: str) -> Table:
    read = gaussforge.GaussForge().read(path.read_bytes(), kind)
    assert "error" not in read, read
    data = read["data"]

    def array(name: str, *shape: int) -> NDArray[np.float32]:
        return np.frombuffer(data[name], np.float32).reshape(-1, *shape)

    parts = [array(name, width) for name, width in (("positions", 3), ("scales", 3), ("rotations", 4))]
    return from_columns(*parts, array("alphas"), array("colors", 3), array("sh", 8, 3))


def by_gsply(path: Path, kind: str) -> Table:
    read = gsply.read_spz(path) if kind == "spz" else gsply.plyread(path)
    return from_columns(read.means, read.scales, read.quats, read.opacities, read.sh0, read.shN)


OURS = [
    (".ply", Options()),
    (".spz", Options(spz_version=3)),
    (".spz", Options(spz_version=4)),
    (".sog", Options()),
]


def name_of(value: object) -> str:
    return f"v{value.spz_version}" if isinstance(value, Options) else str(value)


@pytest.fixture
def asset() -> Gaussians:
    return lopsided(DEGREE)


@pytest.mark.parametrize(("ending", "options"), [*OURS, (".splat", Options())], ids=name_of)
def test_splat_transform_reads_ours(
    tmp_path: Path, node: Node, asset: Gaussians, ending: str, options: Options
) -> None:
    export(tmp_path / f"a{ending}", asset, options)
    node("splat-transform", "-g", "cpu", tmp_path / f"a{ending}", tmp_path / "a.csv")
    if ending == ".splat":  # colours of degree 0 alone, and those that can be seen
        asset.sh0 = asset.sh0.clamp(-1.77, 1.77)
    wanted = as_properties(asset.with_sh_degree(0) if ending == ".splat" else asset)
    compare(from_csv(tmp_path / "a.csv"), wanted, EXACT if ending == ".ply" else PACKED)


@pytest.mark.parametrize(("ending", "options"), OURS, ids=name_of)
def test_gaussforge_reads_ours(tmp_path: Path, asset: Gaussians, ending: str, options: Options) -> None:
    export(tmp_path / f"a{ending}", asset, options)
    found = by_gaussforge(tmp_path / f"a{ending}", ending[1:])
    compare(found, as_properties(asset), EXACT if ending == ".ply" else PACKED)


@pytest.mark.parametrize(("ending", "options"), OURS[:3], ids=name_of)
def test_gsply_reads_ours(tmp_path: Path, asset: Gaussians, ending: str, options: Options) -> None:
    export(tmp_path / f"a{ending}", asset, options)
    found = by_gsply(tmp_path / f"a{ending}", ending[1:])
    compare(found, as_properties(asset), EXACT if ending == ".ply" else PACKED)


def read_theirs(path: Path) -> Gaussians:
    """A .spz of theirs does not say its axes, and we say that; nothing else is to be said."""
    said: list[str] = []
    found = read_gaussians(path, say=said.append)
    assert ["which axis is up" in text for text in said] == ([True] if path.suffix == ".spz" else [])
    return found


@pytest.mark.parametrize("ending", ["3.spz", "4.spz", ".splat", ".compressed.ply", ".glb", ".sog"])
def test_splat_transforms_are_read(tmp_path: Path, node: Node, asset: Gaussians, ending: str) -> None:
    if ending == ".sog":  # its palette of directions is too small for 40 of them
        asset = asset.with_sh_degree(0)
    export(tmp_path / "a.ply", asset)
    options = ("--spz-version", ending[0]) if "spz" in ending else ()
    node("splat-transform", "-g", "cpu", *options, tmp_path / "a.ply", tmp_path / f"b{ending}")
    found = read_theirs(tmp_path / f"b{ending}")
    if ending == ".glb":  # it turns a .ply about z, and so has the front at -z: half a turn about y from ours
        found.means = found.means * torch.tensor([-1, 1, -1])
        found.quats = found.quats.flip(1)  # (0, 0, 0, -1) times them, then half a turn as `axes.py` has it
        asset, found = asset.with_sh_degree(0), found.with_sh_degree(0)
    if ending == ".splat":
        asset.sh0 = asset.sh0.clamp(-1.77, 1.77)
        asset = asset.with_sh_degree(0)
    near = EXACT if ending == ".glb" else SMALL if "spz" in ending else PACKED
    compare(as_properties(found), as_properties(asset), near)


@pytest.mark.parametrize(
    ("kind", "version"),
    [("spz", 2), ("spz", 3), ("spz", 4), ("sog", 3), ("splat", 3), ("compressed.ply", 3)],
)
def test_gaussforges_are_read(tmp_path: Path, asset: Gaussians, kind: str, version: int) -> None:
    if kind in (
        "splat",
        "compressed.ply",
    ):  # a compressed.ply of its has other directions
        asset = asset.with_sh_degree(0)
    export(tmp_path / "a.ply", asset)
    made = gaussforge.GaussForge().convert(
        (tmp_path / "a.ply").read_bytes(), "ply", kind, spz_version=version
    )
    assert "error" not in made, made
    (tmp_path / f"b.{kind}").write_bytes(made["data"])
    if kind == "splat":
        asset.sh0 = asset.sh0.clamp(-1.77, 1.77)
    near = ROUGH if version == 2 else SMALL if kind == "spz" else PACKED
    compare(as_properties(read_theirs(tmp_path / f"b.{kind}")), as_properties(asset), near)


@pytest.mark.parametrize("kind", ["ply", "compressed.ply", "3.spz", "4.spz"])
def test_gsplys_are_read(tmp_path: Path, asset: Gaussians, kind: str) -> None:
    export(tmp_path / "a.ply", asset)
    data, path = gsply.plyread(tmp_path / "a.ply"), tmp_path / f"b.{kind}"
    if "spz" in kind:
        gsply.write_spz(path, data, version=int(kind[0]))
    else:
        gsply.plywrite(path, data, compressed=kind != "ply")
    found = read_gaussians(path)
    compare(as_properties(found), as_properties(asset), EXACT if kind == "ply" else SMALL)


@pytest.mark.parametrize("degree", [0, 3])
def test_khronos_validator_finds_nothing_but_the_extensions_names(
    tmp_path: Path, node: Node, degree: int
) -> None:
    """npm's newest validator does not know KHR_gaussian_splatting; it refuses every file that has it."""
    export(tmp_path / "a.glb", lopsided(degree))
    issues = json.loads(node("validate.mjs", tmp_path / "a.glb"))
    others = [
        issue
        for issue in issues
        if not (
            issue["code"] == "MESH_PRIMITIVE_INVALID_ATTRIBUTE"
            and "/KHR_gaussian_splatting:" in issue["pointer"].replace("~1", "/")
        )
        and not (issue["code"] == "UNSUPPORTED_EXTENSION" and "KHR_gaussian_splatting" in issue["message"])
    ]
    assert others == []
