"""What the embedded prior understands, and what it refuses."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from sctd.embedded.captions import base_caption, view_of, with_view
from sctd.embedded.world import COLORS, KINDS, PATTERNS, VIEW_WORDS, Subject, check_prompt
from sctd.errors import PromptError


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("a red mushroom", Subject("mushroom", "red")),
        ("A RED Toadstool, front view", Subject("mushroom", "red")),
        ("striped violet teddy bear, seen from behind", Subject("bear", "purple", "striped")),
        ("a bunny with dots in gray", Subject("rabbit", "grey", "spotted")),
        ("an orange ice cream cone", Subject("ice cream", "orange")),
        ("a traffic cone that is blue", Subject("cone", "blue")),
        ("top view of a glossy black automobile", Subject("car", "black", "shiny")),
    ],
)
def test_reads_synonyms_orders_and_views(prompt: str, subject: Subject) -> None:
    assert check_prompt(prompt) == subject


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("a bagel with lox", "does not know 'bagel', 'lox'"),
        ("a red mushrom", "did you mean 'mushroom'?"),
        ("a mushroom", "names no colour"),
        ("a red", "names no kind"),
        ("a red blue car", "more than one colour"),
        ("a red car on a green table", "does not know 'on'"),
        ("a striped spotted red car", "more than one pattern"),
        ("a red " + "very " * 20 + "car", "reads at most"),
        ("a red car 🚗", "does not know"),
    ],
)
def test_refuses_with_the_reason_and_the_way_out(prompt: str, reason: str) -> None:
    with pytest.raises(PromptError) as error:
        check_prompt(prompt)
    message = str(error.value)
    assert reason in message
    assert "airplane" in message
    assert "--prior" in message
    assert "\n" not in message


def test_every_caption_means_its_subject() -> None:
    rng = random.Random(3)
    for kind in KINDS:
        for color in COLORS:
            subject = Subject(kind, color, rng.choice(list(PATTERNS)))
            for view in VIEW_WORDS:
                caption = with_view(base_caption(subject, rng), view, rng)
                assert check_prompt(caption) == subject, caption
            assert check_prompt(str(subject)) == subject


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [
        (0.0, 0.0, "front"),
        (0.78, 0.0, "front"),
        (0.80, 0.0, "left"),
        (-1.5, 0.0, "right"),
        (3.0, 0.0, "back"),
        (-3.2, 0.2, "back"),
        (0.0, 1.1, "overhead"),
    ],
)
def test_view_of_a_direction(azimuth: float, elevation: float, view: str) -> None:
    assert view_of(azimuth, elevation) == view


def test_the_world_loads_without_torch() -> None:
    code = "import sys, sctd.embedded.world; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
