"""The gallery as Chromium shows it: contact sheets at first, an asset in 3D when it is clicked on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from seen import flag_bearer

from sctd.batch.gallery import PAGE, Card, write
from sctd.batch.store import Folder
from sctd.export.contact import save_contact
from sctd.viewer.caption import Caption
from sctd.viewer.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NASTY = '<img src=x onerror="document.title=1">'


def test_a_click_loads_the_asset_and_no_other(browser: Browser, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_page(tmp_path / name / "asset.html", flag_bearer(), Caption(NASTY))
        save_contact(tmp_path / name / "contact.png", np.zeros((2, 16, 16, 3), np.uint8))
    cards = [Card(name, NASTY, 0, "sctd", "done", 1.0) for name in ("one", "two", "three")]
    write(Folder(tmp_path), cards)

    page = browser.new_page(viewport={"width": 700, "height": 700})
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / PAGE).as_uri())
    assert page.locator("article").count() == 3
    page.locator("article >> nth=1").locator("img").wait_for()
    assert not [url for url in asked if "asset.html" in url]

    page.locator("article >> nth=1").locator("img").click()
    page.frame_locator("iframe").locator("html.shown").wait_for(timeout=30_000)
    assert page.locator("#name").text_content() == NASTY
    assert not page.frame_locator("iframe").locator("h1").is_visible()  # the asset has all the room
    assert {url.split("#")[0] for url in asked if url.endswith(".html")} == {
        (tmp_path / name).as_uri() for name in (PAGE, "two/asset.html")
    }
    page.keyboard.press("Escape")
    page.wait_for_selector("iframe", state="detached")
    assert all(url.startswith(("file:", "blob:")) for url in asked)
    assert told == []
    page.close()
