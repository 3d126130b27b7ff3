"""The bytes of asset.html, and the script in it: built from what its lock file names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from seen import flag_bearer

from sctd.config import load_config
from sctd.config.asset import OutputSettings
from sctd.errors import InputError
from sctd.gaussians import Gaussians
from sctd.viewer.caption import Caption
from sctd.viewer.page import WEB, write_page

BUILDER = Path("tools/viewer")


def test_the_same_asset_gives_the_same_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_page(tmp_path / name / "asset.html", flag_bearer())
    one, two = ((tmp_path / name / "asset.html").read_bytes() for name in ("one", "two"))
    assert one == two
    assert list((tmp_path / "one").iterdir()) == [tmp_path / "one" / "asset.html"]


def test_the_page_of_an_asset_of_the_usual_size_is_small(tmp_path: Path) -> None:
    """4000 Gaussians, as the embedded preset has, with numbers that do not compress."""
    write_page(tmp_path / "asset.html", flag_bearer(degree=0, count=4000))
    assert (tmp_path / "asset.html").stat().st_size <= 2 << 20


def test_the_page_says_nothing_of_its_makers_disk(tmp_path: Path) -> None:
    lora = tmp_path / "private" / "style.safetensors"
    tree = [f"prior.name={tmp_path}/private/model", f"prior.loras=[{lora}:0.5]"]
    caption = Caption.of_run(load_config(overrides=tree, prompt="a </pre> box", seed=5))
    assert caption.facts == {"seed": "5", "method": "sctd", "prior": "model", "iterations": "300"}
    assert str(tmp_path) not in caption.settings
    assert "style.safetensors:0.5" in caption.settings
    write_page(tmp_path / "asset.html", flag_bearer(), caption, OutputSettings())
    text = (tmp_path / "asset.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "<h1>a &lt;/pre&gt; box</h1>" in text


def test_an_asset_of_nothing_is_refused(tmp_path: Path) -> None:
    nothing = Gaussians(**{name: p[:0] for name, p in flag_bearer().parameters().items()})
    with pytest.raises(InputError, match="no Gaussians"):
        write_page(tmp_path / "asset.html", nothing)
    broken = flag_bearer()
    broken.means[0, 0] = torch.nan
    with pytest.raises(InputError, match="1 values of means are not finite"):
        write_page(tmp_path / "asset.html", broken)
    assert list(tmp_path.iterdir()) == []


def test_the_script_is_what_the_lock_file_builds(
    repository: Path, tmp_path: Path, node: Callable[..., str], need: Callable[[str, bool, str], None]
) -> None:
    builder = repository / BUILDER
    packages = builder / "node_modules"
    need("node", packages.is_dir(), f"there is no {packages}; run `npm ci` in its folder")
    node(builder / "build.mjs", tmp_path)
    for name in ("viewer.js", "licenses.txt"):
        assert (tmp_path / name).read_bytes() == (WEB / name).read_bytes(), f"{name}: run `make viewer`"


def test_the_script_names_its_parts_and_their_licences(repository: Path) -> None:
    lock = json.loads((repository / BUILDER / "package-lock.json").read_text())["packages"]
    with (WEB / "viewer.js").open(encoding="utf-8") as script:
        header = script.readline()
    licences = (WEB / "licenses.txt").read_text(encoding="utf-8")
    for name in ("@sparkjsdev/spark", "three", "fflate"):
        version = lock[f"node_modules/{name}"]["version"]
        assert f"{name} {version} (MIT)" in header
        assert f"{name} {version}\n" in licences
    assert licences.count("Permission is hereby granted") == 3
    assert licences.count("Copyright") >= 3
