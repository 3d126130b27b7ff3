"""The rich world: what it reads and refuses, what it holds out, that every kind is whole and in its ball."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from sctd.cameras import orbit_cameras
from sctd.embedded.pictures import look_at
from sctd.embedded.words import VIEW_WORDS
from sctd.embedded.world import world_named
from sctd.embedded.worlds.rich import phrases
from sctd.embedded.worlds.rich.draw import held_out
from sctd.embedded.worlds.rich.figures import COSTUMES, sculpture_of
from sctd.embedded.worlds.rich.grammar import check_prompt
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.materials import COLORS, MARBLE, PATTERNS, STYLES, Material, plain
from sctd.embedded.worlds.rich.pictures import maps_of
from sctd.embedded.worlds.rich.props import HELD
from sctd.embedded.worlds.rich.sculpture import Sculpture, trace
from sctd.embedded.worlds.rich.subjects import Subject, Thing, Worn
from sctd.embedded.worlds.rich.table1 import PROMPTS
from sctd.errors import PromptError

RICH = world_named("rich")
NORMAL, COVER = slice(6, 9), 9
RED_CAR, TABLE, SCARF = Thing("car", "red"), Thing("table", style="wooden"), Worn("scarf")


def _maps(scene: Sculpture, size: int = 48, azimuth: float = 0.5, supersample: int = 1) -> np.ndarray:
    viewmat, K = look_at(azimuth, 0.25, 3.1, size)
    return trace(scene.fitted(), viewmat[None], K[None], size, supersample)[0]


# -- words --


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        (PROMPTS[0], Subject(Thing("cat", wears=(Worn("mullet"),)))),
        (PROMPTS[3], Subject(Thing("mouse", holds=Worn("tuba")))),
        (PROMPTS[4], Subject(Thing("road bike", "orange"))),
        (PROMPTS[6], Subject(Thing("crown"))),
        (PROMPTS[7], Subject(Thing("raccoon", costume="wizard", holds=Worn("wand")))),
        (PROMPTS[9], Subject(Thing("rabbit"))),
        (PROMPTS[10], Subject(Thing("panda"), "riding", Thing("boat"))),
        (PROMPTS[12], Subject(Thing("chimpanzee", costume="king"))),
        (PROMPTS[13], Subject(Thing("penguin", wears=(Worn("puffy jacket"),), holds=Worn("skis")))),
        (PROMPTS[14], Subject(Thing("poison-dart frog", "blue"), "on", Thing("water lily"))),
        (PROMPTS[15], Subject(Thing("bear", costume="knight"))),
        (PROMPTS[17], Subject(Thing("corgi", style="plush", costume="nurse"))),
        (PROMPTS[21], Subject(Thing("astronaut", style="statue"))),
        (PROMPTS[23], Subject(Thing("cat", wears=(Worn("eyeglasses"),), count=2))),
        (PROMPTS[24], Subject(Thing("red panda"))),
        (PROMPTS[26], Subject(Thing("bulldozer", style="knitted"))),
        (PROMPTS[28], Subject(Thing("tree frog", style="low poly"))),
        (PROMPTS[30], Subject(Thing("robot", style="vegetables"))),
        (PROMPTS[33], Subject(Thing("squirrel"), "riding", Thing("biplane"))),
        (PROMPTS[34], Subject(Thing("dragon"), "hatching from", Thing("egg", style="stone"))),
        (PROMPTS[35], Subject(Thing("bear", wears=(Worn("tutu"),), pose="dancing"))),
        (PROMPTS[37], Subject(Thing("car", style="cheese"))),
        ("normal map of a corgi, back view", Subject(Thing("corgi"), map="normal")),
        ("a red sedan next to a desk made of wood", Subject(RED_CAR, "beside", TABLE)),
        ("bunny with a blue wig and a scarf", Subject(Thing("rabbit", wears=(Worn("wig", "blue"), SCARF)))),
        ("two mice", Subject(Thing("mouse", count=2))),
    ],
)
def test_reads(prompt: str, subject: Subject) -> None:
    assert check_prompt(prompt) == subject


@pytest.mark.parametrize("prompt", PROMPTS)
def test_reads_table_1_from_every_side(prompt: str) -> None:
    assert {check_prompt(f"{prompt}, {words[0]}") for words in VIEW_WORDS.values()} == {check_prompt(prompt)}


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("a bagel with lox", "does not know 'bagel', 'lox'"),
        (
            "a racccoon wearing a hat",
            "know 'racccoon' (did you mean 'raccoon'?), 'hat' (did you mean 'top hat' or 'wizard hat' or",
        ),
        ("a corgi in a topp hatt", "know 'topp hatt' (did you mean 'top hat'?);"),
        ("a photo of", "names no kind"),
        ("a cat a dog", "does not say how they are together"),
        ("a red blue car", "more than one colour"),
        ("a wooden stone car", "more than one style"),
        ("a car wearing a scarf", "no creature that wears"),
        ("a car riding a motorcycle", "cannot ride"),
        ("a cat on a cactus", "nothing stands on cactus"),
        ("on a table", "nothing before it"),
        ("a cat on a table beside a car", "more than two things"),
    ],
)
def test_refuses_with_the_reason(prompt: str, reason: str) -> None:
    with pytest.raises(PromptError) as error:
        check_prompt(prompt)
    message = str(error.value)
    assert reason in message
    assert "a corgi wearing a top hat" in message
    assert "`sctd prior words rich`" in message
    assert "--prior" in message
    assert "\n" not in message
    assert len(message) < 500


def test_every_name_has_its_phrases_and_its_shape() -> None:
    assert set(phrases.KINDS) == set(KINDS)
    assert len(KINDS) >= 60
    assert set(phrases.STYLES) == set(STYLES)
    assert set(phrases.COLORS) == set(COLORS)
    assert len(COLORS) == 12
    assert set(phrases.COSTUMES) == set(COSTUMES)
    assert set(phrases.HOLDS) <= set(HELD)


# -- what is drawn to learn from --


def test_what_is_drawn_is_never_held_out_and_its_caption_means_it() -> None:
    rng, kinds = random.Random(11), set()
    for i in range(10_000):
        subject = RICH.draw(rng)
        assert isinstance(subject, Subject)
        assert not held_out(subject), subject
        kinds |= {subject.thing.kind, *([subject.other.kind] if subject.other else [])}
        if i % 5 == 0:
            caption = RICH.caption(subject, rng)
            assert RICH.check_prompt(caption) == subject, caption
    assert kinds == set(KINDS), "every kind is seen"


def test_combinations_of_table_1_are_held_out_in_any_wording() -> None:
    for prompt in PROMPTS:
        subject = check_prompt(prompt)
        alone = subject.other is None and subject == Subject(Thing(subject.thing.kind))
        assert held_out(subject) != alone, prompt
    for prompt in (
        "a red corgi in a top hat and a scarf",
        "a bear wearing a helmet",  # a part of medieval armour
        "a dragon in an egg",
        "a bus",  # yellow without saying so
        "a table beside a blue lobster",
    ):
        assert held_out(check_prompt(prompt)), prompt
    for prompt in ("a corgi", "a fox wearing a top hat", "a corgi wearing a crown", "a green school bus"):
        assert not held_out(check_prompt(prompt)), prompt


def test_draws_repeat_with_the_seed() -> None:
    one, two, other = random.Random(3), random.Random(3), random.Random(4)
    subjects = [RICH.draw(one) for _ in range(40)]
    assert subjects == [RICH.draw(two) for _ in range(40)]
    assert subjects != [RICH.draw(other) for _ in range(40)]


# -- pictures --


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_whole_and_in_its_ball(kind: str) -> None:
    scene = sculpture_of(Subject(Thing(kind)))
    for part in scene.fitted():
        for center, radius in part.balls() if part.use == "add" else ():
            assert np.linalg.norm(center) + radius <= 0.9401
    cover = _maps(scene)[COVER]
    assert 0.02 < cover.mean() < 0.6
    border = np.concatenate((cover[0], cover[-1], cover[:, 0], cover[:, -1]))
    assert border.max() == 0, "the object leaves the picture"


@pytest.mark.parametrize("style", STYLES)
def test_every_style_changes_the_picture(style: str) -> None:
    plain_car, changed = (_maps(sculpture_of(Subject(Thing("car", style=s)))) for s in ("", style))
    assert np.abs(plain_car[:3] - changed[:3]).mean() > 2e-3


@pytest.mark.parametrize("prompt", [*PROMPTS[7:20:3], PROMPTS[34]])
def test_scenes_repeat_bit_for_bit(prompt: str) -> None:
    subject = check_prompt(prompt)
    one, two = _maps(sculpture_of(subject)), _maps(sculpture_of(subject))
    assert np.array_equal(one, two)


def test_normals_have_unit_length_and_face_the_camera() -> None:
    maps = _maps(sculpture_of(check_prompt(PROMPTS[7])), 64)
    solid = maps[COVER] == 1
    assert solid.sum() > 100
    lengths = np.linalg.norm(maps[NORMAL], axis=0)[solid]
    np.testing.assert_allclose(lengths, 1, atol=1e-4)
    viewmat, _ = look_at(0.5, 0.25, 3.1, 64)
    towards = -(viewmat[2, :3] @ maps[NORMAL].reshape(3, -1)).reshape(64, 64)[solid]
    assert towards.min() > -0.3  # perspective: a little turned away at the rim


def test_a_balls_normals_and_albedo_are_exact() -> None:
    scene, red = Sculpture(), plain((0.8, 0.2, 0.1))
    scene.ball((0, 0, 0), 0.7, red)
    size, distance = 65, 3.0
    viewmat, K = look_at(0.0, 0.0, distance, size)
    maps = trace(scene.parts, viewmat[None], K[None], size, 1)[0]
    middle = maps[:, size // 2, size // 2]
    np.testing.assert_allclose(middle[3:6], red.first, atol=1e-6)
    np.testing.assert_allclose(middle[NORMAL], (0, 0, 1), atol=2e-3)
    focal = size / 2 / math.tan(math.radians(20))
    area = math.pi * (focal * math.tan(math.asin(0.7 / distance))) ** 2
    assert maps[COVER].sum() == pytest.approx(area, rel=0.03)


def test_paint_covers_and_carving_takes_away() -> None:
    red, blue = plain((0.8, 0, 0)), plain((0, 0, 0.8))
    viewmat, K = look_at(0.0, 0.0, 3.0, 33)

    def middle(scene: Sculpture) -> np.ndarray:
        return trace(scene.parts, viewmat[None], K[None], 33, 1)[0, :, 16, 16]

    painted, carved = Sculpture(), Sculpture()
    for scene, use in ((painted, "painting"), (carved, "carving")):
        with scene.group():
            scene.ball((0, 0, 0), 0.5, red)
            with getattr(scene, use)(0.001):
                scene.ball((0, 0, 0.5), 0.2, blue)
    np.testing.assert_allclose(middle(painted)[3:6], blue.first, atol=1e-6)
    np.testing.assert_allclose(middle(painted)[NORMAL], (0, 0, 1), atol=2e-3)
    np.testing.assert_allclose(middle(carved)[3:6], red.first, atol=1e-6)
    np.testing.assert_allclose(middle(carved)[NORMAL], (0, 0, 1), atol=2e-3)


def test_light_is_shadowed_and_darker_in_hollows() -> None:
    floor, white = plain((0.9, 0.9, 0.9), 0.0), plain((0.9, 0.9, 0.9), 0.0)
    open_, covered = Sculpture(), Sculpture()
    for scene in (open_, covered):
        scene.box((0, -0.5, 0), (0.9, 0.02, 0.9), floor)
    covered.ball((0, -0.1, 0.2), 0.25, white)
    viewmat, K = look_at(math.pi, 1.0, 3.0, 48)
    light = [trace(s.parts, viewmat[None], K[None], 48, 1)[0] for s in (open_, covered)]
    same = np.abs(light[0][3:10] - light[1][3:10]).max(0) < 1e-6
    seen_floor = same & (light[0][COVER] == 1)
    darker = light[0][0][seen_floor] - light[1][0][seen_floor]
    assert darker.max() > 0.15, "a shadow lies on the floor"
    assert darker.min() > -1e-6, "and nothing gets lighter"


def test_maps_of_a_subject_are_what_the_captions_say() -> None:
    cameras = orbit_cameras(2, 15.0, 3.2, 40.0, 32).over(torch.full((2, 3), 0.25))
    subject = Subject(Thing("strawberry"))
    maps = maps_of(subject, cameras, 32)
    pictures = {
        name: RICH.truth(Subject(Thing("strawberry"), map=name), cameras, 32)[0] for name in phrases.MAPS
    }
    solid = maps[:, COVER] == 1
    normal = maps[:, NORMAL].permute(0, 2, 3, 1)[solid]
    torch.testing.assert_close(pictures["normal"].permute(0, 2, 3, 1)[solid], (normal + 1) / 2)
    albedo = maps[:, 3:6].permute(0, 2, 3, 1)[solid]
    torch.testing.assert_close(pictures["albedo"].permute(0, 2, 3, 1)[solid], albedo)
    outside = maps[:, COVER] == 0
    assert torch.all(pictures["normal"].permute(0, 2, 3, 1)[outside] == 0.25)


def test_every_pattern_is_traced() -> None:
    plain_ball = Sculpture()
    plain_ball.ball((0, 0, 0), 0.6, plain((0.8, 0.1, 0.1)))
    bare = _maps(plain_ball, 40)[3:6]
    for pattern in PATTERNS[1:]:
        scene = Sculpture()
        scene.ball((0, 0, 0), 0.6, Material((0.8, 0.1, 0.1), (0.1, 0.1, 0.8), pattern, 0.15, 0.3))
        assert np.abs(_maps(scene, 40)[3:6] - bare).mean() > 2e-3, pattern
    assert MARBLE.pattern in PATTERNS
