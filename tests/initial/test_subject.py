"""What a text-to-shape model is asked for, given the prompt of a run."""

from __future__ import annotations

import pytest

from sctd.initial.subject import main_thing


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a DSLR photo of a corgi wearing a top hat", "a corgi"),
        ("A DSLR photo of a bagel filled with cream cheese and lox.", "a bagel"),
        ("A zoomed out DSLR photo of an origami hippo in a river", "an origami hippo"),
        ("A capybara wearing a top hat, low poly style.", "A capybara"),
        ("A portrait of the Hulk, head, photorealistic, 8K, HDR.", "the Hulk"),
        ("A photo of a painting of a cat", "a cat"),
        ("demon head, flaming eyes, horned, scaly skin, highly detailed", "demon head"),
        ("a red mushroom", "a red mushroom"),
        ("a bowl of fruit", "a bowl of fruit"),
        ("a  statue\tof liberty", "a statue of liberty"),
        ("in the dark", "in the dark"),
        ("...", "..."),
    ],
)
def test_the_main_thing(prompt: str, wanted: str) -> None:
    assert main_thing(prompt) == wanted


@pytest.mark.parametrize("prompt", ["a model of a car", "a 3D model of a car", "render of a car"])
def test_a_picture_of_a_thing_is_the_thing(prompt: str) -> None:
    assert main_thing(prompt) == "a car"
