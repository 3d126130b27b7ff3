"""asset.html as Chromium shows it: what our own rendering shows, and nothing from outside the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opened_page import SIZE, Opened, ours
from seen import flag_bearer, ssim

from sctd.config.asset import OutputSettings
from sctd.formats.table import read_gaussians
from sctd.render import render_images
from sctd.viewer.caption import Caption
from sctd.viewer.page import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PROMPT = '<img src=x onerror="document.title=1"> & </script><b>"bold"</b> ${x} $y'
OUTPUT = OutputSettings(elevation_deg=20.0, radius=3.0, background=(0.9, 0.95, 1.0))
ASSET = flag_bearer(degree=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "asset.html"
    caption = Caption(PROMPT, {"seed": "<i>3</i>"}, "prompt: </pre><script>document.title=2</script>")
    write_page(path, ASSET, caption, OUTPUT)
    return path


@pytest.mark.parametrize("azimuth", [0, 110])
def test_it_shows_what_we_render_upright_and_unmirrored(opened: Opened, file: Path, azimuth: int) -> None:
    opened.show(file, f"azimuth={azimuth}")
    seen = opened.canvas()
    expected = render_images(ASSET, ours(OUTPUT, azimuth), OUTPUT.background)[0].numpy() / 255
    assert ssim(seen, expected) >= 0.98
    assert np.abs(seen - expected).mean() < 0.01
    # and so that the numbers say something: the wrong pictures are told apart
    for wrong in (expected[:, ::-1], expected[::-1], expected[::-1, ::-1]):
        assert ssim(seen, wrong) < 0.9
    assert opened.told == []


def test_it_asks_for_nothing_outside_itself(opened: Opened, file: Path) -> None:
    opened.asked.clear()
    opened.show(file)
    outside = [url for url in opened.asked if not url.startswith(("blob:", "about:", "data:"))]
    assert outside == [f"{file.as_uri()}#spin=0&"] or outside == [file.as_uri()]
    refused = opened.page.evaluate("fetch('data:,x').then(() => 'answered', () => 'refused')")
    assert refused == "refused"  # its policy forbids every connection
    assert "Content Security Policy" in opened.told.pop()


def test_markup_in_the_prompt_is_text(opened: Opened, file: Path) -> None:
    opened.show(file)
    page = opened.page
    assert page.title() == PROMPT
    assert page.locator("h1").text_content() == PROMPT
    assert page.locator("dd").first.text_content() == "<i>3</i>"
    assert "document.title=2" in (page.locator("pre").first.text_content() or "")
    assert page.locator("img").count() == 1  # the poster


def test_the_button_saves_the_splat_file(opened: Opened, file: Path, tmp_path: Path) -> None:
    opened.show(file)
    with opened.page.expect_download() as saving:
        opened.page.evaluate("document.getElementById('download').click()")
    assert saving.value.suggested_filename.endswith(".ply")
    saving.value.save_as(tmp_path / "saved.ply")
    saved = read_gaussians(tmp_path / "saved.ply")
    for name, tensor in ASSET.parameters().items():
        assert tensor.equal(saved.parameters()[name]), name


def test_keys_and_buttons_turn_it(opened: Opened, file: Path) -> None:
    """18 times 5 degrees to the right is the view from the object's left side."""
    opened.show(file)
    page = opened.page
    front = opened.canvas()
    page.focus("#canvas")
    for _ in range(18):
        page.keyboard.press("ArrowRight")
    left = render_images(ASSET, ours(OUTPUT, 90), OUTPUT.background)[0].numpy() / 255
    opened.until(lambda seen: ssim(seen, left) >= 0.98)
    page.evaluate("document.getElementById('reset').click()")
    opened.until(lambda seen: ssim(seen, front) >= 0.99)
    page.keyboard.press(" ")
    assert page.locator("#spin").get_attribute("aria-pressed") == "true"
    opened.until(lambda seen: ssim(seen, front) < 0.95)
    page.keyboard.press(" ")
    assert page.locator("#spin").get_attribute("aria-pressed") == "false"


def test_dragging_turns_it_and_ends_the_turning(opened: Opened, file: Path) -> None:
    opened.show(file)
    page = opened.page
    front = opened.canvas()
    page.evaluate("document.getElementById('spin').click()")
    page.mouse.move(SIZE / 2, SIZE / 2)
    page.mouse.down()
    page.mouse.move(SIZE / 2 - 60, SIZE / 2, steps=3)
    page.mouse.up()
    assert page.locator("#spin").get_attribute("aria-pressed") == "false"
    opened.until(lambda seen: ssim(seen, front) < 0.9)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_can_read_it(browser: Browser, file: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    opened = Opened(page)
    opened.show(file)
    wide = page.evaluate("document.documentElement.scrollWidth")
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor")
    )
    corner = opened.canvas()[3, 3]
    page.close()
    assert wide == 390  # nothing beyond the edge
    lightness = [sum(map(int, rgb[4:-1].split(","))) / 765 for rgb in (ink, paper)]
    assert (lightness[0] < 0.3 and lightness[1] > 0.9) == (scheme == "light")
    assert (lightness[0] > 0.8 and lightness[1] < 0.2) == (scheme == "dark")
    assert np.allclose(
        corner, OUTPUT.background if scheme == "light" else (22 / 255, 24 / 255, 28 / 255), atol=0.01
    )
