"""A page in a browser, for the tests of a file's own page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from opened_page import SIZE, Opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def opened(browser: Browser) -> Iterator[Opened]:
    """A phone's layout, in which the canvas is square."""
    page = browser.new_page(viewport={"width": SIZE, "height": 2 * SIZE}, color_scheme="light")
    yield Opened(page)
    page.close()
