"""View weights, view prompts and Perp-Neg weights, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from fresh import loaded_by

from sctd.config.views import PerpNegSettings, ViewSettings
from sctd.errors import PromptError
from sctd.prior.analytic import AnalyticPrior
from sctd.text import ViewTexts, blend_weights, perp_neg_weights, view_prompts

#         azimuth  front left right back
CARDINAL = [
    (0, (1, 0, 0, 0)),
    (90, (0, 1, 0, 0)),
    (-90, (0, 0, 1, 0)),
    (270, (0, 0, 1, 0)),
    (180, (0, 0, 0, 1)),
    (-180, (0, 0, 0, 1)),
    (540, (0, 0, 0, 1)),
    (30, (2 / 3, 1 / 3, 0, 0)),
    (-30, (2 / 3, 0, 1 / 3, 0)),
    (120, (0, 2 / 3, 0, 1 / 3)),
    (-165, (0, 0, 1 / 6, 5 / 6)),
]


def level(*azimuths: float) -> tuple[torch.Tensor, torch.Tensor]:
    azimuth = torch.tensor(azimuths, dtype=torch.float64).deg2rad()
    return azimuth, torch.zeros_like(azimuth)


@pytest.mark.parametrize(("azimuth", "expected"), CARDINAL)
def test_blend_weights_by_hand(azimuth, expected):
    got = blend_weights(*level(azimuth))
    torch.testing.assert_close(got, torch.tensor([[*expected, 0]], dtype=torch.float64), atol=1e-12, rtol=0)


def test_blend_weights_are_a_smooth_partition():
    azimuth = torch.linspace(-math.pi, math.pi, 7201, dtype=torch.float64)
    weights = blend_weights(azimuth, torch.zeros_like(azimuth))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones_like(azimuth))
    step = (2 * math.pi / 7200) / (math.pi / 2)  # a weight goes from 0 to 1 over 90 degrees
    assert (weights.diff(dim=0).abs().max() <= step * 1.001).all(), "a camera's text jumps between directions"


def test_overhead_replaces_the_others_from_its_elevation_on():
    azimuth = torch.tensor([0.3, 0.3, 0.3])
    elevation = torch.tensor([59.9, 60.1, -80.0]).deg2rad()
    weights = blend_weights(azimuth, elevation, math.radians(60))
    assert weights[1].tolist() == [0, 0, 0, 0, 1]
    assert weights[0, 4] == 0
    assert weights[2, 4] == 0
    never = blend_weights(azimuth, torch.full((3,), math.pi / 2), math.pi / 2)
    assert (never[:, 4] == 0).all()


def test_float32_weights_keep_dtype():
    assert blend_weights(torch.zeros(2), torch.zeros(2)).dtype == torch.float32


def test_view_prompts_follow_the_settings():
    views = ViewSettings(left="left side view", right="", overhead="from above")
    assert view_prompts("a duck", views) == [
        "a duck, front view",
        "a duck, left side view",
        "a duck",
        "a duck, back view",
        "a duck, from above",
    ]
    assert view_prompts("a duck", ViewSettings(enabled=False)) == ["a duck"] * 5


# r is 1 at the front (front half) or the side (back half); n = -2, decays 2 and 10
@pytest.mark.parametrize(
    ("azimuth", "front", "side"),
    [
        (0, 0, -2),  # r = 1: the front negative is off, the side one at full weight
        (45, -2 * math.exp(-1), -2 * math.exp(-5)),
        (-45, -2 * math.exp(-1), -2 * math.exp(-5)),
        (80, -2 * math.exp(-2 / 9), 0),  # r = 1/9 < 0.2: the side negative is off
        (100, -2, 0),  # back half, r = 8/9 > 0.8
        (135, -2, -math.exp(-5)),
        (180, -2, -1),
    ],
)
def test_perp_neg_weights_by_hand(azimuth, front, side):
    got = perp_neg_weights(*level(azimuth), PerpNegSettings())
    torch.testing.assert_close(got, torch.tensor([[front, side]], dtype=torch.float64), atol=1e-12, rtol=0)


def test_perp_neg_is_off_overhead():
    got = perp_neg_weights(torch.tensor([3.0]), torch.tensor([1.5]), PerpNegSettings())
    assert got.abs().sum() == 0


@pytest.fixture
def prior() -> AnalyticPrior:
    """Six components, one for each view phrase and one more."""
    labels = {
        "front": [0],
        "left": [1],
        "right": [2],
        "back": [3],
        "overhead": [4],
        "duck": [0, 1, 2, 3, 4, 5],
    }
    means = torch.randn(6, 4, 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return AnalyticPrior(means, torch.full((6,), 0.3), torch.ones(6), labels)


def test_view_texts_blend_the_embeddings(prior):
    views = ViewSettings(left="left view", right="right view")
    texts = ViewTexts.encode(prior, "a duck", "", views)
    azimuth, elevation = level(30, -90)
    got = texts.embeddings(azimuth, elevation)
    front, left, right = (
        prior.encode_text([f"a duck, {name} view"])[0] for name in ("front", "left", "right")
    )
    torch.testing.assert_close(got[0], front * 2 / 3 + left / 3)
    torch.testing.assert_close(got[1], right)
    torch.testing.assert_close(texts.null, prior.encode_text([""]))
    assert texts.negative_is_null
    assert not ViewTexts.encode(prior, "a duck", "back", views).negative_is_null


def test_perp_neg_directions_take_the_camera_side(prior):
    texts = ViewTexts.encode(prior, "a duck", "", ViewSettings(left="left view", right="right view"))
    towards, weights = texts.perp_neg(*level(100, -100), PerpNegSettings())
    front, left, right = texts.views[0], texts.views[1], texts.views[2]
    assert weights.shape == (2, 2)
    torch.testing.assert_close(towards[0], texts.embeddings(*level(100, -100)))
    torch.testing.assert_close(
        towards[1:], torch.stack((torch.stack((front, front)), torch.stack((left, right))))
    )


def test_a_prompt_the_prior_does_not_know_is_refused(prior):
    with pytest.raises(PromptError, match="bagel"):
        ViewTexts.encode(prior, "a bagel", "", ViewSettings())


def test_settings_and_registry_load_no_torch():
    assert not loaded_by("import sctd.methods, sctd.config, sctd.prior", "torch")
