"""asset.html of a mesh as Chromium shows it: what our own rendering shows, the right way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opened_page import Opened, ours
from painted import painted_mesh, quarters, repeated
from seen import ssim

from sctd.config.asset import OutputSettings
from sctd.formats.assets import read_asset
from sctd.formats.meshes.surface import Triangles
from sctd.render import render_images
from sctd.viewer.caption import Caption
from sctd.viewer.page import write_page

OUTPUT = OutputSettings(elevation_deg=20.0, radius=3.0, background=(0.9, 0.95, 1.0))
MESH = Triangles((*painted_mesh().surfaces, repeated(quarters())))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "asset.html"
    write_page(path, MESH, Caption("a mesh"), OUTPUT)
    return path


@pytest.mark.parametrize("azimuth", [0, 110])
def test_it_shows_what_we_render_upright_and_unmirrored(opened: Opened, file: Path, azimuth: int) -> None:
    opened.show(file, f"azimuth={azimuth}")
    seen = opened.canvas()
    expected = render_images(MESH, ours(OUTPUT, azimuth), OUTPUT.background)[0].numpy() / 255
    inside = (np.abs(expected - OUTPUT.background).max(-1) > 0.05).mean()
    assert inside > 0.1
    assert ssim(seen, expected) >= 0.98
    assert np.abs(seen - expected).mean() < 0.005
    for wrong in (expected[:, ::-1], expected[::-1], expected[::-1, ::-1]):
        assert ssim(seen, wrong) < 0.95
    assert opened.told == []
    assert opened.page.locator("dt").last.text_content() == "triangles"
    assert opened.page.locator("dd").last.text_content() == str(len(MESH))


def test_the_button_saves_the_mesh(opened: Opened, file: Path, tmp_path: Path) -> None:
    opened.show(file)
    assert opened.page.locator("#download").text_content() == "Download .glb"
    with opened.page.expect_download() as saving:
        opened.page.evaluate("document.getElementById('download').click()")
    assert saving.value.suggested_filename == "a-mesh.glb"
    saving.value.save_as(tmp_path / "saved.glb")
    saved = read_asset(tmp_path / "saved.glb")
    assert isinstance(saved, Triangles)
    assert len(saved) == len(MESH)
