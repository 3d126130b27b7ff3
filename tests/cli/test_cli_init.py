"""`sctd generate --init`: to an asset, resumed without the file, refused in one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cli_outcome import Outcome, tree
from mesh_files import write_cube
from tiny_shap_e import write_shap_e

Command = Callable[..., Outcome]
GOOD = "a red mushroom"
QUICK = [
    *("--steps", "2", "--set", "gaussians.count=300", "--set", "cameras.batch=1"),
    *("--set", "output.turntable_frames=0", "--set", "output.contact_views=0"),
    *("--set", "output.checkpoint_every=1", "--set", "output.keep_checkpoints=2"),
]


def test_a_mesh_becomes_an_asset_and_a_resumed_run_needs_it_no_more(sctd: Command, here: Path) -> None:
    mesh = write_cube(here / "some.glb")
    done = sctd("generate", GOOD, "--init", "some.glb", "--out", "run", *QUICK)
    assert done.code == 0, done.err
    assert done.out == "run/asset.ply\n"
    asset = (here / "run" / "asset.ply").read_bytes()
    assert asset.startswith(b"ply")
    started = yaml.safe_load((here / "run" / "config.yaml").read_text())["gaussians"]
    assert (started["init"], started["init_path"]) == ("file", str(here / "some.glb"))
    assert sctd("generate", GOOD, "--init", "some.glb", "--out", "twin", *QUICK).code == 0
    assert (here / "twin" / "asset.ply").read_bytes() == asset

    mesh.unlink()
    newest = max((here / "run" / "checkpoints").iterdir())
    newest.unlink()
    (here / "run" / "asset.ply").unlink()
    resumed = sctd("generate", "--resume", "--out", "run")
    assert resumed.code == 0, resumed.err
    assert (here / "run" / "asset.ply").read_bytes() == asset

    # without a checkpoint it has to begin anew, and cannot
    for checkpoint in (here / "run" / "checkpoints").iterdir():
        checkpoint.unlink()
    failed = sctd("generate", "--resume", "--out", "run")
    assert failed.code == 2
    assert failed.err.splitlines()[-1] == f"error: cannot start from {mesh}: no such file"


def test_its_own_asset_and_shap_e_start_a_run(sctd: Command, here: Path) -> None:
    folder = write_shap_e(here.parent / "shap-e")
    small = ("--set", f"gaussians.shap_e={folder}", "--set", "gaussians.shap_e_steps=2")
    short = ("--set", "gaussians.shap_e_grid=12", "--steps", "1")
    done = sctd("generate", "red ball", "--init", "shap-e", "--out", "first", *QUICK, *small, *short)
    assert done.code == 0, done.err
    assert "running Shap-E" in done.err
    again = sctd("generate", "red ball", "--init", "first/asset.ply", "--out", "second", *QUICK, *short)
    assert again.code == 0, again.err


def test_shap_e_that_is_not_to_be_had(
    sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An empty cache, and a hub that refuses connections, as where there is no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = sctd("generate", GOOD, "--init", "shap-e")
    stage, line = done.err.splitlines()
    assert stage == "running Shap-E"
    message = Outcome(done.code, done.out, line).error_line()
    assert message.startswith("error: Shap-E openai/shap-e: tried as a folder, in the cache and on the hub (")
    for way in ("gaussians.shap_e", "--init ball, sphere, box", "mesh"):
        assert way in message
    assert tree(here) == []


@pytest.mark.parametrize(
    ("init", "says"),
    [
        ("missing.glb", "/missing.glb: no such file"),
        ("cloud.xyz", "a file ending in .ply, .splat, .spz, .sog, .glb, .gltf, .npz, .obj, .stl"),
        ("bal", "give ball, sphere, box, shap-e, auto, or a file"),
        ("", "give ball, sphere, box, shap-e, auto, or a file"),
        ("empty.stl", "/empty.stl: it is damaged or no .stl file: "),
        ("empty.ply", "empty.ply is damaged or not a .ply file: "),
        ("empty.splat", "empty.splat holds no Gaussians"),
    ],
)
def test_refused_in_one_line(sctd: Command, here: Path, init: str, says: str) -> None:
    for ending in ("stl", "ply", "splat", "xyz"):
        (here / f"{'cloud' if ending == 'xyz' else 'empty'}.{ending}").write_bytes(b"")
    before = tree(here)
    assert says in sctd("generate", GOOD, "--init", init).error_line()
    assert tree(here) == before


def test_without_earcut(sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "some.obj").write_text("v 2 0 0\nv 0.2 0.2 0\nv 0 2 0\nv 0 0 0\nf 1 2 3 4\n")
    before = tree(here)
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "mapbox_earcut" else there(name, *rest),
    )
    line = sctd("generate", GOOD, "--init", "some.obj", *QUICK).error_line()
    assert line == (
        f"error: cannot start from {here / 'some.obj'}: a concave polygon needs mapbox_earcut; "
        'run `pip install "sctd[mesh]"` or `pip install mapbox_earcut`'
    )
    assert tree(here) == before


def test_a_name_replaces_the_file_of_a_config(sctd: Command, here: Path) -> None:
    (here / "old.yaml").write_text("gaussians: {init: file, init_path: gone.glb}\n")
    assert (
        "gone.glb: no such file" in sctd("generate", GOOD, "--config", "old.yaml", "--dry-run").error_line()
    )
    shown = sctd("generate", GOOD, "--config", "old.yaml", "--init", "sphere", "--dry-run")
    started = yaml.safe_load(shown.out)["gaussians"]
    assert (started["init"], started["init_path"]) == ("sphere", None)
