"""``sctd prior truth``: pictures of what a prompt means, in either world, without weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., object]


@pytest.mark.parametrize(
    ("prompt", "world"), [("a corgi wearing a top hat", "rich"), ("a red mushroom", "small")]
)
def test_draws_all_sides(sctd: Command, here: Path, prompt: str, world: str) -> None:
    done = sctd("prior", "truth", prompt, "--world", world, "--views", "3", "--size", "32", "--out", "a.png")
    assert (done.code, done.out) == (0, "a.png\n")  # type: ignore[attr-defined]
    picture = np.asarray(Image.open(here / "a.png"))
    assert picture.shape == (32, 96, 3)
    assert all(side.std() > 10 for side in np.split(picture, 3, axis=1))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a corgi wearing a top hatt",), "did you mean 'top hat'?"),
        (("a corgi wearing a top hat", "--world", "small"), "does not know 'corgi'"),
        (("a corgi", "--world", "flat"), "no world is named 'flat'; there are small, rich"),
        (("a corgi", "--out", "a.jpg"), "must end in .png"),
    ],
)
def test_refuses_and_writes_nothing(
    sctd: Command, here: Path, arguments: tuple[str, ...], reason: str
) -> None:
    assert reason in sctd("prior", "truth", *arguments).error_line()  # type: ignore[attr-defined]
    assert list(here.iterdir()) == []
