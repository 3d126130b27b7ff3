"""What viser's server is told; without a browser."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
import torch
from painted import painted_mesh
from seen import flag_bearer

from sctd.formats.assets import read_triangles
from sctd.formats.srgb import linear_to_srgb
from sctd.viewer.drawn import DrawnMesh, DrawnSplats
from sctd.viewer.server import GAP, Viewer, plain, read_out


def test_two_assets_stand_to_the_sides_of_the_camera(capsys: pytest.CaptureFixture[str]) -> None:
    viewer = Viewer("127.0.0.1", 8150, ["a", "b"])
    try:
        assert viewer.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(viewer.url, timeout=20) as answer:
            assert answer.status == 200
        assets = [flag_bearer(1, 8), flag_bearer(0, 12)]
        for k, asset in enumerate(assets):
            viewer.show(k, asset)
        viewer.update()
        for part, asset, side in zip(viewer._drawn, assets, (-GAP, GAP), strict=True):
            assert isinstance(part, DrawnSplats)
            handle = part.handle
            assert torch.allclose(torch.from_numpy(handle.centers.copy()), asset.means)
            assert tuple(handle.position) == pytest.approx((side, 0.0, 0.0))
        viewer.show(0, assets[1])  # of another number
        viewer.update()
        assert viewer._drawn[0].told == "12 of 12 Gaussians"
        viewer.show(0, painted_mesh())  # of the other kind
        viewer.update()
        assert viewer._drawn[0].told == "38 triangles"
        assert viewer._drawn[1].told == "12 of 12 Gaussians"
    finally:
        viewer.stop()
    assert capsys.readouterr().out == ""  # results go there, viser's own words do not


def test_depth_and_coverage_of_a_mesh_are_colours_of_its_vertices(tmp_path: Path) -> None:
    """Seen along -z: the nearest corner white, the farthest a dark grey, whatever colours the mesh has."""
    viewer = Viewer("127.0.0.1", 8160, ["a"])
    greys = {}
    try:
        viewer.show(0, painted_mesh())
        viewer._rotation = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # looks along -z
        for mode in ("colour", "alpha", "depth"):
            viewer._mode.value = mode
            viewer._mark_moved(None)
            viewer.update()
            part = viewer._drawn[0]
            assert isinstance(part, DrawnMesh)
            handle = part.draw(mode, viewer._eye, torch.tensor([0.0, 0.0, -1.0]))
            (tmp_path / "a.glb").write_bytes(handle.glb_data)
            shown = read_triangles(tmp_path / "a.glb", None, print)
            greys[mode] = linear_to_srgb(torch.cat([surface.colors for surface in shown.surfaces]))
            assert any(surface.texture is not None for surface in shown.surfaces) == (mode == "colour")
    finally:
        viewer.stop()
    assert torch.allclose(greys["alpha"], torch.ones(1).double())
    z = torch.cat([surface.vertices[:, 2] for surface in painted_mesh().surfaces])
    expected = 1 - 0.85 * (z.max() - z) / (z.max() - z.min())
    assert torch.allclose(greys["depth"], expected[:, None].expand(-1, 3), atol=1e-5)


def test_words_of_the_read_out_are_those_of_the_conventions() -> None:
    assert read_out(torch.tensor([2.0, 0.0, 0.0]), 40.0) == (
        "azimuth 90.0°, elevation 0.0°, radius 2.00, field of view 40.0°"
    )
    assert read_out(torch.tensor([0.0, 1.0, 1.0]), 30.0).startswith("azimuth 0.0°, elevation 45.0°")
    assert plain("<b>*x*</b>") == "\\<b\\>\\*x\\*\\</b\\>"
