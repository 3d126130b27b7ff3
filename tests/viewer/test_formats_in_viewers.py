"""Exported files stand upright and unmirrored in viewers that people have: Spark, three.js, SuperSplat."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from seen import Picture, decoded, flag_bearer, ssim

from sctd.cameras import orbit_cameras
from sctd.export.table import Options, export
from sctd.render import render_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Node = Callable[..., str]

SIZE = 192
EYE = (0.0, 3 * float(np.sin(np.radians(20))), 3 * float(np.cos(np.radians(20))))
"""Before the front, 20 degrees above."""
LOADED = 60_000
"""Milliseconds; software WebGL on a busy machine."""
FILES = {
    "a.ply": Options(),
    "a.splat": Options(),
    "3.spz": Options(spz_version=3),
    "4.spz": Options(spz_version=4),
    "a.sog": Options(),
    "a.glb": Options(),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, options in FILES.items():
        export(folder / name, flag_bearer(), options)
    return folder


@pytest.fixture(scope="module")
def ours() -> Picture:
    images = render_images(flag_bearer(), orbit_cameras(1, 20.0, 3.0, 40.0, SIZE))
    return images[0].numpy() / 255


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": SIZE, "height": SIZE})
    yield page
    page.close()


@pytest.fixture(scope="module")
def any_format(page: Page, node: Node, files: Path) -> Callable[[str], Picture]:
    """A picture of one of the files by tests/node/any_format.js."""
    script = files / "any_format.js"
    node("bundle.mjs", "any_format.js", script)
    page.goto("about:blank")
    page.add_script_tag(path=script)

    def picture(name: str) -> Picture:
        content = base64.b64encode((files / name).read_bytes()).decode()
        page.evaluate("given => window.show(...given)", [name, content, SIZE, list(EYE)])
        return decoded(page.locator("canvas").screenshot())

    return picture


@pytest.mark.parametrize("name", ["a.ply", "a.splat", "3.spz", "a.sog"])
def test_spark_shows_what_we_show(any_format: Callable[[str], Picture], ours: Picture, name: str) -> None:
    """Spark of npm's newest release, 2.2.0, reads no .spz of version 4."""
    shown = any_format(name)
    assert ssim(shown, ours) >= 0.9
    assert ssim(shown[:, ::-1], ours) < 0.8
    assert ssim(shown[::-1], ours) < 0.8


def colored(picture: Picture, channel: int) -> Picture:
    """The middle of what is red, green or blue, in halves of the picture: right and down are positive."""
    others = [c for c in range(3) if c != channel]
    mask = picture[..., channel] > picture[..., others].max(axis=-1) + 0.25
    assert mask.sum() > 20
    return np.argwhere(mask).mean(axis=0)[::-1] / (SIZE / 2) - 1


def check_flags(picture: Picture) -> None:
    """The green ball on top, the red arm to the viewer's right, the blue one below, to the left."""
    red, green, blue = (colored(picture, channel) for channel in range(3))
    assert green[1] < -0.3
    assert abs(green[0]) < 0.1
    assert red[0] > 0.2
    assert blue[1] > 0.1
    assert blue[0] < 0


def test_the_flags_are_where_we_look_for_them(ours: Picture) -> None:
    check_flags(ours)


def test_a_glb_has_coloured_points_for_who_does_not_know_gaussians(
    any_format: Callable[[str], Picture],
) -> None:
    check_flags(any_format("a.glb"))


SETTINGS = {
    "version": 2,
    "tonemapping": "none",
    "highPrecisionRendering": False,
    "background": {"color": [1, 1, 1]},
    "postEffectSettings": {
        "sharpness": {"enabled": False, "amount": 0},
        "bloom": {"enabled": False, "intensity": 1, "blurLevel": 2},
        "grading": {"enabled": False, "brightness": 0, "contrast": 1, "saturation": 1, "tint": [1, 1, 1]},
        "vignette": {"enabled": False, "intensity": 0.5, "inner": 0.3, "outer": 0.75, "curvature": 1},
        "fringing": {"enabled": False, "intensity": 0.5},
    },
    "animTracks": [],
    # It turns every file about z, so that a front is at -z.
    "cameras": [{"initial": {"position": [EYE[0], EYE[1], -EYE[2]], "target": [0, 0, 0], "fov": 40}}],
    "annotations": [],
    "startMode": "default",
}


@pytest.mark.parametrize("name", ["a.ply", "4.spz"])
def test_supersplats_viewer_shows_it_upright(
    page: Page, node: Node, files: Path, ours: Picture, name: str
) -> None:
    """The page that splat-transform makes of a file, with SuperSplat's viewer inside."""
    (files / "settings.json").write_text(json.dumps(SETTINGS))
    made = files / f"{name}.html"
    node("splat-transform", "-g", "cpu", "--viewer-settings", files / "settings.json", files / name, made)
    page.goto(f"{made.as_uri()}?noui&noanim")
    for _ in range(LOADED // 200):
        shown = decoded(page.screenshot())
        if ssim(shown, ours) >= 0.85:
            break
        page.wait_for_timeout(200)
    assert ssim(shown, ours) >= 0.85
    check_flags(shown)
