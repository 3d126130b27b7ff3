"""The scores against the procedural truth: the truth passes, what must fail fails."""

from __future__ import annotations

import pytest
import torch

from sctd.config import load_config
from sctd.embedded.recogniser import Recogniser
from sctd.embedded.truth import (
    AZIMUTHS,
    BACKGROUND,
    Score,
    agreement,
    score,
    score_views,
    truth_views,
)
from sctd.embedded.world import world_named
from sctd.initial.start import initialise
from sctd.trainer import random_streams

RICH = world_named("rich")
EVERY = AZIMUTHS // 8


@pytest.fixture(scope="module")
def blind() -> Recogniser:
    """Random weights: these tests are about shape, not about names."""
    torch.manual_seed(0)
    return Recogniser(RICH.questions).eval()


@pytest.mark.parametrize("kind", ["airplane", "bear", "car", "chair", "duck", "house", "robot", "teapot"])
def test_the_truth_matches_itself_and_its_own_azimuths(kind: str, blind: Recogniser) -> None:
    subject = RICH.check_prompt(f"a red {kind}")
    images, alpha = truth_views(subject, size=32)
    perfect = score_views(images[::EVERY], alpha[::EVERY], subject, blind)
    assert perfect.iou == 1
    assert perfect.azimuth == 1
    assert perfect.psnr > perfect.psnr_average + 20
    assert (perfect.edge, perfect.chroma) == (0, 0)


def test_colours_that_saturate_are_told_from_the_truths(blind: Recogniser) -> None:
    subject = RICH.check_prompt("a yellow duck")
    images, alpha = truth_views(subject, size=64)
    strong = (0.5 + 2.5 * (images - 0.5)).clamp(0, 1)
    grey = images.mean(1, keepdim=True).expand_as(images)
    saturated, dull = (score_views(x[::EVERY], alpha[::EVERY], subject, blind) for x in (strong, grey))
    assert saturated.edge > 0.3
    assert saturated.chroma > 0.1 > -0.1 > dull.chroma


def test_a_turned_object_fails_the_azimuths_alone(blind: Recogniser) -> None:
    subject = RICH.check_prompt("a yellow duck")
    images, alpha = truth_views(subject, size=64)
    quarter = AZIMUTHS // 4
    turned = score_views(images.roll(quarter, 0)[::EVERY], alpha.roll(quarter, 0)[::EVERY], subject, blind)
    assert turned.azimuth == 0
    assert turned.iou > 0.3


def test_a_smeared_object_fails_the_azimuths(blind: Recogniser) -> None:
    """The azimuth-average of the truth has no view information: its PSNR is the one to beat."""
    subject = RICH.check_prompt("a blue car")
    images, alpha = truth_views(subject, size=64)
    smeared = score_views(
        images.mean(0, keepdim=True).expand(8, -1, -1, -1),
        alpha.mean(0, keepdim=True).expand(8, -1, -1),
        subject,
        blind,
    )
    assert smeared.psnr == pytest.approx(smeared.psnr_average)
    assert smeared.azimuth < 0.6


def test_a_two_faced_object_fails_half_of_the_azimuths(blind: Recogniser) -> None:
    subject = RICH.check_prompt("a brown bear")
    images, alpha = truth_views(subject, size=64)
    order = [0, 1, 2, 1, 0, 7, 6, 7]  # the back shows the front again
    janus = score_views(images[::EVERY][order], alpha[::EVERY][order], subject, blind)
    assert janus.azimuth <= 0.625


@pytest.mark.parametrize("kind", ["car", "cat", "chair"])
def test_an_undistilled_ball_fails(kind: str, blind: Recogniser) -> None:
    config = load_config("embedded", prompt=f"a red {kind}")
    start = initialise(config.gaussians, random_streams(0)["scene"])
    ball = score(start, RICH.check_prompt(config.prompt), blind, size=64)
    assert ball.iou < 0.65
    assert ball.psnr < ball.psnr_average
    assert ball.azimuth < 0.6


def test_truth_stands_on_the_grey_it_says() -> None:
    images, alpha = truth_views(RICH.check_prompt("a white cube"), 4)
    assert torch.all((images.permute(0, 2, 3, 1)[alpha == 0] - BACKGROUND).abs() < 1e-6)


def test_agreement_counts_pairs() -> None:
    assert agreement("aab") == pytest.approx(1 / 3)
    assert agreement("aaa") == agreement("a") == 1
    assert agreement("abc") == 0


# -- the rich world, whose recogniser is asked other questions --


def says(**answers: set[str]) -> Recogniser:
    """One that gives every picture these names, by head."""
    recogniser = Recogniser(RICH.questions).eval()
    for name, head in recogniser.questions.heads.items():
        layer = recogniser.heads[name]
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.tensor([1.0 if x in answers.get(name, set()) else -1.0 for x in head.names])
    return recogniser


def scored(prompt: str, recogniser: Recogniser) -> Score:
    subject = RICH.check_prompt(prompt)
    images, alpha = truth_views(subject, size=32)
    return score_views(images[::EVERY], alpha[::EVERY], subject, recogniser)


def test_a_rich_subject_matches_itself_whatever_an_untrained_recogniser_says() -> None:
    torch.manual_seed(0)
    perfect = scored("a red corgi wearing a top hat", Recogniser(RICH.questions).eval())
    assert (perfect.iou, perfect.azimuth, perfect.edge, perfect.chroma) == (1, 1, 0, 0)
    assert perfect.psnr > perfect.psnr_average + 20


def test_traits_are_what_the_prompt_says_beside_the_kind() -> None:
    hat = says(kind={"corgi"}, color={"red"}, traits={"wears top hat", "style plush"})
    found = scored("a red corgi wearing a top hat and a scarf", hat)
    assert (found.kind, found.color, found.both, found.consistency) == (1, 1, 1, 1)
    assert found.traits == pytest.approx(2 / 3)  # red and the hat, of red, hat and scarf
    other = scored("a blue cat wearing a top hat", hat)
    assert (other.kind, other.color, other.traits, other.both) == (0, 0, 0.5, 0)


def test_what_a_prompt_leaves_open_is_neither_right_nor_wrong() -> None:
    robot = says(kind={"robot"}, color={"red"})
    alone = scored("a robot", robot)
    assert (alone.kind, alone.color, alone.traits, alone.both) == (1, None, None, 1)
    usual = scored("a strawberry", says(kind={"strawberry"}, color={"red"}))  # red as a strawberry is
    assert (usual.color, usual.traits, usual.both) == (1, None, 1)
