"""`sctd view` as Chromium shows it: our own picture, from the axes that we mean, and a run that obeys."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from painted import painted_mesh
from PIL import Image
from seen import decoded, flag_bearer, ssim
from shells import sphere
from small import SMALL

from sctd.cameras import CameraBatch, intrinsics, look_at
from sctd.formats.meshes.surface import Surface, Triangles
from sctd.formats.write_ply import write_ply
from sctd.render import render_images
from sctd.viewer.server import Viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH, HEIGHT = 350, 250
"""Half the window: viser draws splats with the window's aspect, whatever picture is asked for."""
ASSET = flag_bearer(degree=2)
EYE = (1.5, 0.9, 2.5)
FOV = 0.7
KNOWN = "THREE.BufferGeometry.computeBoundingSphere(): Computed radius is NaN"
"""viser 1.1.1 says it of every splat, also of five of its own examples' kind."""


@pytest.fixture(scope="module")
def viewer() -> Iterator[Viewer]:
    made = Viewer("127.0.0.1", 8123, ["a.ply"])
    made.show(0, ASSET)
    over = threading.Event()

    def serve() -> None:
        while not over.wait(0.05):
            made.update()

    thread = threading.Thread(target=serve)
    thread.start()
    yield made
    over.set()
    thread.join()
    made.stop()


class Opened:
    """A page with one asset, and what the browser had to say."""

    def __init__(self, page: Page, viewer: Viewer) -> None:
        self.page, self.viewer = page, viewer
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(viewer.url)
        page.get_by_text("Field of view", exact=True).wait_for(timeout=30_000)
        page.get_by_text("azimuth").wait_for(timeout=30_000)

    @property
    def client(self) -> Any:
        (found,) = self.viewer._server.get_clients().values()
        return found

    def picture(self) -> Any:
        """From EYE, by the browser, without the panel; on white."""
        # Its answer comes in the page's own thread, which runs while something waits for the page.
        made: list[Any] = []
        wxyz = rotation_of(ours())

        def ask() -> None:
            made.append(
                self.client.get_render(
                    HEIGHT, WIDTH, wxyz=wxyz, position=EYE, fov=FOV, transport_format="png", timeout=20.0
                )
            )

        thread = threading.Thread(target=ask)
        thread.start()
        while thread.is_alive():
            self.page.wait_for_timeout(50)
        over = Image.new("RGBA", (WIDTH, HEIGHT), "white")
        over.alpha_composite(Image.fromarray(made[0]).convert("RGBA"))
        return np.asarray(over.convert("RGB"), np.float64) / 255


def ours() -> CameraBatch:
    views = look_at(torch.tensor([EYE]), torch.zeros(1, 3), torch.tensor([[0.0, 1, 0]]))
    return CameraBatch(
        views,
        intrinsics(torch.tensor([FOV]), WIDTH, HEIGHT),
        WIDTH,
        HEIGHT,
        *(torch.zeros(1) for _ in range(4)),
    )


def rotation_of(cameras: CameraBatch) -> tuple[float, ...]:
    """Camera to world as a quaternion wxyz."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(cameras.viewmats[0, :3, :3].T.numpy()).as_quat()
    return float(w), float(x), float(y), float(z)


@pytest.fixture(scope="module")
def opened(browser: Browser, viewer: Viewer) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 700, "height": 500})
    yield Opened(page, viewer)
    page.close()


def test_it_shows_what_we_render_upright_and_unmirrored(opened: Opened) -> None:
    expected = render_images(ASSET, ours())[0].numpy() / 255
    # The colours follow the camera of the window, which is to stand where the picture is taken from.
    opened.client.camera.position = EYE
    for _ in range(50):
        opened.page.wait_for_timeout(200)
        seen = opened.picture()
        if ssim(seen, expected) >= 0.98:
            break
    assert ssim(seen, expected) >= 0.98
    for wrong in (expected[:, ::-1], expected[::-1], expected[::-1, ::-1]):
        assert ssim(seen, wrong) < 0.9


def test_a_mesh_is_shown_as_we_render_it(opened: Opened, viewer: Viewer) -> None:
    """Also where it takes the place of another one, as in a run."""
    mesh = painted_mesh()
    (first, *_) = mesh.surfaces
    viewer.show(0, Triangles((Surface(first.vertices - 0.5, first.faces, first.colors),)))
    opened.page.get_by_text(f"{len(first.faces)} triangles of a.ply").wait_for(timeout=10_000)
    handle = viewer._drawn[0].handle
    viewer.show(0, mesh)
    expected = render_images(mesh, ours())[0].numpy() / 255
    for _ in range(50):
        opened.page.wait_for_timeout(200)
        seen = opened.picture()
        if ssim(seen, expected) >= 0.95:
            break
    assert viewer._drawn[0].handle is handle
    viewer.show(0, ASSET)
    assert ssim(seen, expected) >= 0.95
    for wrong in (expected[:, ::-1], expected[::-1], expected[::-1, ::-1]):
        assert ssim(seen, wrong) < 0.9


def test_it_asks_this_machine_alone_and_complains_of_nothing(opened: Opened) -> None:
    assert all(re.match(r"(blob:|data:)?(http://127\.0\.0\.1:|image|text)", url) for url in opened.asked)
    assert [text for text in opened.errors if not text.startswith(KNOWN)] == []


def test_the_panel_tells_and_chooses(opened: Opened, viewer: Viewer) -> None:
    page = opened.page
    page.get_by_text("600 of 600 Gaussians of a.ply").wait_for(timeout=10_000)  # the page hears of it later
    cut = int((torch.sigmoid(ASSET.opacities) >= 0.9).sum())
    viewer._threshold.value = 0.9
    viewer._mark_stale(None)
    page.get_by_text(f"{cut} of 600 Gaussians of a.ply").wait_for(timeout=10_000)
    viewer._threshold.value = 0.0
    viewer._mark_stale(None)
    with page.expect_download(timeout=20_000) as saving:
        page.get_by_text("Save a picture").click()
    assert saving.value.suggested_filename == "view.png"
    saved = decoded(Path(saving.value.path()).read_bytes())
    assert saved.shape == (500, 700, 3)
    assert 0.01 < (saved < 0.9).any(-1).mean() < 0.5  # an asset on white


@contextmanager
def sctd(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command line at work; whatever becomes of the test, it ends with it."""
    command = [sys.executable, "-c", "from sctd_cli.main import main; main()", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()  # a run ends its viewer, too
        process.communicate(timeout=60)


def test_the_command_prints_its_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_ply(tmp_path / f"{name}.ply", ASSET)
    with sctd(tmp_path, "view", "a.ply", "b.ply", "--port", "8130") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert b"<html" in answer.read(2000)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "listening at 127.0.0.1, this machine alone" in err


def test_a_run_is_watched_and_stopped_from_the_browser(browser: Browser, tmp_path: Path) -> None:
    """First its Gaussians, then its mesh."""
    write_ply(tmp_path / "ball.ply", sphere(torch.zeros(3), 0.5, count=150))
    # Few Gaussians, which software draws fast enough to leave the page time for a click.
    first = ("gaussians.init=file", "gaussians.init_path=ball.ply")
    stages = "{name: coarse, share: 20}, {name: refine, share: 999980, settings: {representation: mesh}}"
    mesh = ("surface.resolution=8", "surface.views=16", "surface.view_size=64", f"stages=[{stages}]")
    last = ("output.checkpoint_every=100000", "densify.strategy=none")
    settings = [f"--set={text}" for text in (*SMALL, *first, *mesh, *last)]
    options = ["--prior", "analytic", "--device", "cpu", "--steps", "1000000", "--out", "run"]
    with sctd(tmp_path, "generate", "a red ball", "--view", *options, *settings) as process:
        assert process.stderr is not None
        url = next(line.strip() for line in process.stderr if line.startswith("http://127.0.0.1:"))
        page = browser.new_page(viewport={"width": 400, "height": 300})
        page.goto(url)
        iterations = page.get_by_text("iterations done")
        iterations.wait_for(timeout=120_000)
        first = re.search(r"\d+ iterations done", iterations.text_content() or "")
        assert first is not None
        gone = "text => !document.body.textContent.includes(text)"
        page.wait_for_function(gone, arg=first[0], timeout=120_000)
        page.get_by_text("cross_consistency").wait_for(timeout=120_000)
        page.get_by_text("triangles of run").wait_for(timeout=120_000)
        page.get_by_text("Stop", exact=True).dispatch_event("click")
        rest = process.stderr.read()
        page.close()
        assert process.wait(timeout=30) == 1
    assert re.search(r"stopped after iteration \d+ of 1000000", rest)
    # One where the second stage began, one where the run was stopped.
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    assert not (tmp_path / "run" / ".view").exists()
