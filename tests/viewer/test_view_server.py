"""What viser's server is told; without a browser."""

from __future__ import annotations

import urllib.request

import pytest
import torch
from painted import painted_mesh
from seen import flag_bearer

from sctd.viewer.drawn import DrawnSplats
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


def test_words_of_the_read_out_are_those_of_the_conventions() -> None:
    assert read_out(torch.tensor([2.0, 0.0, 0.0]), 40.0) == (
        "azimuth 90.0°, elevation 0.0°, radius 2.00, field of view 40.0°"
    )
    assert read_out(torch.tensor([0.0, 1.0, 1.0]), 30.0).startswith("azimuth 0.0°, elevation 45.0°")
    assert plain("<b>*x*</b>") == "\\<b\\>\\*x\\*\\</b\\>"
