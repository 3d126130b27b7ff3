"""asset.html in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seen import decoded

from sctd.cameras import CameraBatch, orbit_cameras
from sctd.config.asset import OutputSettings

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZE = 256
LOADED = 30_000
"""Milliseconds; software WebGL on a busy machine."""


class Opened:
    """A page, and what the browser had to complain of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.told: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.told.append(message.text))
        page.on("pageerror", lambda error: self.told.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def show(self, file: Path, view: str = "") -> None:
        self.page.goto("about:blank")  # only a change of the address' end would load nothing
        self.page.goto(f"{file.as_uri()}#spin=0&{view}")
        self.page.wait_for_selector("html.shown", timeout=LOADED)
        self.page.add_style_tag(content="#buttons, #state { visibility: hidden } #canvas { outline: none }")

    def canvas(self) -> Any:
        return decoded(self.page.locator("#canvas").screenshot())

    def until(self, holds: Callable[[Any], bool]) -> None:
        """Wait for a picture; software takes its time to draw it."""
        for _ in range(LOADED // 100):
            if holds(self.canvas()):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("it never was shown")


def ours(output: OutputSettings, azimuth: int) -> CameraBatch:
    """One of the 36 cameras of an orbit."""
    cameras = orbit_cameras(36, output.elevation_deg, output.radius, 40.0, SIZE)
    k = azimuth // 10
    return cameras[k : k + 1]
