"""An interactive viewer in the browser: viser's server, with one or two assets side by side and a panel.

The browser draws them itself; this process sends them, and their colours again where they depend on the
camera.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, cast, get_args

import numpy as np
import torch
import viser
from PIL import Image
from torch import Tensor

from sctd.config.asset import OutputSettings
from sctd.formats.assets import Asset
from sctd.gaussians import rotations
from sctd.viewer.drawn import Drawn, drawn
from sctd.viewer.splats import Mode

GAP = 1.1
"""World units from the middle to each of two assets, left and right of the camera."""
BACKGROUNDS = {"white": (255, 255, 255), "grey": (128, 128, 128), "black": (0, 0, 0)}


class Viewer:
    """The page in the browser. The owner calls :meth:`update` often, which draws changes."""

    def __init__(self, host: str, port: int, names: list[str]) -> None:
        """Serve an empty scene.

        Args:
            host: address to listen at; 127.0.0.1 is this machine alone.
            port: the first to try; the next free one is taken.
            names: of the assets, one or two.
        """
        with redirect_stdout(sys.stderr):  # stdout is for results, not for viser's banner
            self._server = viser.ViserServer(host=host, port=port, label="sctd", verbose=False)
        self._server.gui.configure_theme(show_share_button=False, show_logo=False)  # sends no data elsewhere
        view = OutputSettings()
        self._server.scene.set_up_direction("+y")
        up, level = math.sin(math.radians(view.elevation_deg)), math.cos(math.radians(view.elevation_deg))
        away = view.radius * (1.0 if len(names) == 1 else 1.4)
        self._server.initial_camera.position = (0.0, away * up, away * level)
        self._server.initial_camera.look_at = (0.0, 0.0, 0.0)
        self._server.initial_camera.fov = view.fovy_rad
        self._names = names
        self._assets: list[Asset | None] = [None] * len(names)
        self._drawn: list[Drawn | None] = [None] * len(names)
        self._eye = torch.tensor([0.0, away * up, away * level])
        self._rotation = torch.eye(3)
        self._stale = self._moved = False
        self._panel(view)
        self._server.on_client_connect(self._welcome)

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        return f"http://{self._server.get_host()}:{self._server.get_port()}"

    def show(self, k: int, asset: Asset) -> None:
        """Replace the k-th asset."""
        self._assets[k] = asset
        self._stale = True

    def tell(self, text: str) -> None:
        """Markdown at the top of the panel."""
        if self._told.content != text:
            self._told.content = text

    def add_controls(self, pause: Callable[[bool], None], stop: Callable[[], None]) -> None:
        """Add buttons that pause, continue and stop a run; :meth:`allow_controls` shows them."""
        self._pause = self._server.gui.add_button_group(
            "Run", ("Pause", "Go on", "Stop"), order=1, visible=False
        )

        @self._pause.on_click
        def _(event: Any) -> None:
            chosen = event.target.value
            stop() if chosen == "Stop" else pause(chosen == "Pause")

    def allow_controls(self, on: bool) -> None:
        """Show or hide the buttons."""
        self._pause.visible = on

    def update(self) -> None:
        """Send what has changed since the last call."""
        if self._stale:
            self._stale, self._moved = False, True
            scene, cut = self._server.scene, float(self._threshold.value)
            self._drawn = [
                None if asset is None else drawn(scene, f"/{k}", asset, cut, before)
                for k, (asset, before) in enumerate(zip(self._assets, self._drawn, strict=True))
            ]
            self._count_up()
        if self._moved:
            self._moved = False
            with self._server.atomic():
                self._draw()

    def stop(self) -> None:
        """End the server."""
        with redirect_stdout(sys.stderr):
            self._server.stop()

    def _panel(self, view: OutputSettings) -> None:
        gui = self._server.gui
        self._told = gui.add_markdown("", order=0)
        self._mode = gui.add_dropdown("Shows", get_args(Mode), order=2)
        self._background = gui.add_dropdown("Background", tuple(BACKGROUNDS), order=3)
        self._fov = gui.add_slider(
            "Field of view", min=5, max=120, step=1, initial_value=round(math.degrees(view.fovy_rad)), order=4
        )
        self._threshold = gui.add_slider(
            "Opacity from", min=0.0, max=1.0, step=0.01, initial_value=0.0, order=5
        )
        self._count = gui.add_markdown("", order=6)
        self._camera = gui.add_markdown("", order=7)
        self._screenshot = gui.add_button("Save a picture", order=8)
        self._mode.on_update(self._mark_moved)
        self._background.on_update(self._mark_moved)
        self._threshold.on_update(self._mark_stale)
        self._fov.on_update(self._zoom)
        self._screenshot.on_click(self._save)

    def _mark_moved(self, event: Any) -> None:
        self._moved = True

    def _mark_stale(self, event: Any) -> None:
        self._stale = True

    def _zoom(self, event: Any) -> None:
        for client in self._server.get_clients().values():
            client.camera.fov = math.radians(float(self._fov.value))

    def _save(self, event: Any) -> None:
        client = event.client
        if client is None:
            return
        picture = client.get_render(client.camera.image_height, client.camera.image_width)
        data = io.BytesIO()
        Image.fromarray(picture).save(data, format="PNG")
        client.send_file_download("view.png", data.getvalue(), save_immediately=True)

    def _welcome(self, client: viser.ClientHandle) -> None:
        client.camera.on_update(self._look)
        self._moved = True

    def _look(self, camera: viser.CameraHandle) -> None:
        """A browser's camera has moved: OpenCV's axes, camera to world."""
        self._eye = torch.as_tensor(np.array(camera.position), dtype=torch.float32)
        quat = torch.as_tensor(np.array(camera.wxyz), dtype=torch.float32)
        self._rotation = rotations(quat[None])[0]
        self._camera.content = read_out(self._eye, math.degrees(float(camera.fov)))
        changes = any(part.depends_on_view(self._mode.value) for part in self._drawn if part is not None)
        self._moved |= changes or len(self._names) > 1

    def _count_up(self) -> None:
        pairs = zip(self._names, self._drawn, strict=True)
        lines = [f"{part.told} of {plain(name)}" for name, part in pairs if part is not None]
        self._count.content = "  \n".join(lines)

    def _draw(self) -> None:
        mode = cast(Mode, self._mode.value)
        color = BACKGROUNDS[self._background.value] if mode == "colour" else (0, 0, 0)
        self._server.scene.set_background_image(np.full((1, 1, 3), color, np.uint8), format="png")
        right, forward = self._rotation[:, 0], self._rotation[:, 2]
        for k, part in enumerate(self._drawn):
            if part is not None:
                side = (2 * k - 1) * GAP if len(self._names) > 1 else 0.0
                place = side * right
                part.draw(mode, self._eye - place, forward).position = tuple(place.tolist())


def read_out(eye: Tensor, fov_deg: float) -> str:
    """A camera's position, in the terms of docs/conventions.md."""
    x, y, z = eye.tolist()
    radius = math.hypot(x, y, z)
    azimuth = math.degrees(math.atan2(x, z))
    elevation = math.degrees(math.asin(max(-1.0, min(1.0, y / radius)))) if radius else 0.0
    place = f"azimuth {azimuth:.1f}°, elevation {elevation:.1f}°, radius {radius:.2f}"
    return f"{place}, field of view {fov_deg:.1f}°"


def plain(text: str) -> str:
    """Text escaped for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()<>#+-.!|&~" else letter for letter in text)
