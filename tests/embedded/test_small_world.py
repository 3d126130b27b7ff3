"""What the small world understands, and what it refuses."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from sctd.embedded.captions import with_view
from sctd.embedded.words import VIEW_WORDS
from sctd.embedded.world import world_named
from sctd.embedded.worlds.small.captions import base_caption
from sctd.embedded.worlds.small.scenes import scene_of
from sctd.embedded.worlds.small.words import SMALL, Subject
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
    assert SMALL.check_prompt(prompt) == subject


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
        SMALL.check_prompt(prompt)
    message = str(error.value)
    assert reason in message
    assert "a red mushroom" in message
    assert "`sctd prior words small`" in message
    assert "--prior" in message
    assert "\n" not in message
    assert len(message) < 400


def test_every_caption_means_its_subject() -> None:
    rng = random.Random(3)
    for kind in SMALL.kinds:
        for color in SMALL.colors:
            subject = Subject(kind, color, rng.choice(list(SMALL.patterns)))
            for view in VIEW_WORDS:
                caption = with_view(base_caption(subject, rng), view, rng)
                assert SMALL.check_prompt(caption) == subject, caption
            assert SMALL.check_prompt(str(subject)) == subject


def test_a_world_reads_what_it_says_of_what_it_draws() -> None:
    world, rng = world_named("small"), random.Random(5)
    for _ in range(50):
        subject = world.draw(rng)
        assert world.check_prompt(world.caption(subject, rng)) == subject


def test_the_small_world_is_what_the_shipped_weights_learned() -> None:
    """Sums of its captions and of its parts."""
    captions = "\n".join(world_named("small").every_caption())
    assert hashlib.sha256(captions.encode()).hexdigest()[:16] == "3a2ef09a67f18926"
    parts = []
    for kind in SMALL.kinds:
        scene = scene_of(kind)
        numbers = np.hstack((scene.params, scene.rotations.reshape(-1, 9), scene.centers))
        rows = [[round(float(x), 4) + 0.0 for x in row] for row in numbers]
        parts.append([kind, scene.shapes.tolist(), scene.materials.tolist(), rows])
    assert hashlib.sha256(repr(parts).encode()).hexdigest()[:16] == "c40e0c3fd800612b"
