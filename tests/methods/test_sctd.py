"""The SCTD step against a second, plain implementation of the published description; costs, switches."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from sctd import methods
from sctd.cameras import Viewpoints
from sctd.config.sctd import SctdSettings
from sctd.config.views import PerpNegSettings, ViewSettings
from sctd.errors import InputError
from sctd.methods.sctd import Sctd
from sctd.methods.timesteps import Timesteps
from sctd.ops.reference import perp_neg
from sctd.prior.analytic import AnalyticPrior
from sctd.text import ViewTexts, blend_weights, perp_neg_weights

BATCH = 3
AZIMUTH = torch.tensor([0.2, -1.2, 2.5], dtype=torch.float64)
ELEVATION = torch.zeros(BATCH, dtype=torch.float64)
VIEWS = Viewpoints(AZIMUTH, ELEVATION, 3.3 + ELEVATION, 0.7 + ELEVATION, torch.ones(BATCH, 3))
LABELS = {
    "front": [0, 4],
    "left": [1, 4],
    "right": [2, 4],
    "back": [3, 4],
    "blurry": [5],
    "duck": [0, 1, 2, 3, 4],
}
TWO_STEP, ONE_STEP = Timesteps(t=520, s=460, e=404), Timesteps(t=120, s=60, e=20)


@pytest.fixture
def prior() -> AnalyticPrior:
    means = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return AnalyticPrior(means, torch.full((6,), 0.5), torch.linspace(1, 2, 6), LABELS)


@pytest.fixture
def texts(prior: AnalyticPrior) -> ViewTexts:
    views = ViewSettings(left="left view", right="right view")
    return ViewTexts.encode(prior, "a duck", "blurry", views)


def draw() -> tuple[Tensor, Tensor]:
    z0, noise = torch.randn(
        2, BATCH, 4, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    return z0, noise


def make(prior: AnalyticPrior, texts: ViewTexts, **settings: Any) -> Sctd:
    return Sctd(prior, texts, SctdSettings(**settings), iterations=100, seed=11)


def weight_of(settings: SctdSettings, abar_t: Tensor, abar_e: Tensor) -> Tensor | float:
    lambda_t, lambda_e = (0.5 * (abar / (1 - abar)).log() for abar in (abar_t, abar_e))
    integral = (-lambda_t).exp() - (-lambda_e).exp()  # of exp(-lambda), from lambda_t to lambda_e
    return {
        "sigma_over_alpha": (-lambda_t).exp(),
        "one": 1.0,
        "supplement": (1 - abar_t) / (abar_e * integral**2),
    }[settings.weighting]


def plain_gradient(
    prior: AnalyticPrior,
    texts: ViewTexts,
    z0: Tensor,
    noise: Tensor,
    steps: Timesteps,
    settings: SctdSettings,
) -> Tensor:
    """One image at a time, one network call at a time, straight from the published description."""
    abar, (t, s, e), w = prior.traits.alphas_cumprod, steps, settings.guidance_scale

    def step(z: Tensor, eps: Tensor, a: int, b: int) -> Tensor:
        x0 = (z - (1 - abar[a]).sqrt() * eps) / abar[a].sqrt()
        return abar[b].sqrt() * x0 + (1 - abar[b]).sqrt() * eps

    def network(z: Tensor, at: int, embedding: Tensor) -> Tensor:
        return prior.predict(z, at, embedding)

    grads = []
    for i in range(len(z0)):
        azimuth, elevation = AZIMUTH[i : i + 1], ELEVATION[i : i + 1]
        weights = blend_weights(azimuth, elevation)[0]
        y = sum(weights[v] * texts.views[v] for v in range(5))[None]
        z_e = abar[e].sqrt() * z0[i : i + 1] + (1 - abar[e]).sqrt() * noise[i : i + 1]
        z = z_e
        path = [e, s, t] if t >= settings.t_threshold else [e, t]
        for a, b in pairwise(path):
            z = step(z, network(z, a, texts.null), a, b)
        eps_neg, eps_y = network(z, t, texts.negative), network(z, t, y)
        delta = eps_y - eps_neg
        if settings.perp_neg.enabled:
            side = 1 if azimuth > 0 else 2
            push = perp_neg_weights(azimuth, elevation, settings.perp_neg)[0]
            total = delta.clone()
            for weight, view in zip(push, (0, side), strict=True):
                d_i = network(z, t, texts.views[view][None]) - eps_neg
                total += weight * (d_i - (d_i * delta).sum() / (delta * delta).sum() * delta)
            delta = total
        eps_c = eps_neg + (w if settings.guided_condition else 1) * delta
        zhat_s = step(z, eps_c, t, s)
        g_self = step(zhat_s, network(zhat_s, s, texts.null), s, e)
        g_cond = step(z, eps_c, t, e)
        g_null = step(z, network(z, t, texts.null), t, e) if settings.exact_null else z_e
        scale = weight_of(settings, abar[t], abar[e])
        grad = settings.guidance_weight * scale * ((g_self - g_null) + (w + 1) * (g_null - g_cond))
        if settings.cp_weight:  # L_CP of S-(1), differentiated by autograd
            own = ((z_e - (1 - abar[e]).sqrt() * network(z_e, e, texts.null)) / abar[e].sqrt()).detach()
            own.requires_grad_()
            guided = (1 - w) * network(g_cond, e, texts.negative) + w * network(g_cond, e, y)
            wanted = (g_cond - (1 - abar[e]).sqrt() * guided) / abar[e].sqrt()
            loss = (prior.decode(own) - prior.decode(wanted)).square().sum()
            grad = grad + settings.cp_weight * torch.autograd.grad(loss, own)[0]
        grads.append(grad)
    return torch.cat(grads)


@pytest.mark.parametrize("steps", [TWO_STEP, ONE_STEP, Timesteps(150, 100, 20), Timesteps(149, 100, 20)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"guidance_scale": 0.0},
        {"exact_null": True},
        {"guided_condition": False},
        {"weighting": "one", "guidance_weight": 0.7},
        {"weighting": "supplement"},
        {"cp_weight": 0.3},
        {"perp_neg": {"enabled": True}},
        {"perp_neg": {"enabled": True}, "exact_null": True},
    ],
    ids=str,
)
def test_step_equals_a_plain_implementation(prior, texts, steps, settings):
    z0, noise = draw()
    got = make(prior, texts, **settings).residual(z0, noise, VIEWS, steps)
    expected = plain_gradient(prior, texts, z0, noise, steps, SctdSettings(**settings))
    assert got.offender is None
    torch.testing.assert_close(got.grad, expected, rtol=1e-9, atol=1e-10)


def test_negative_prompt_and_empty_prompt_are_told_apart(prior, texts):
    z0, noise = draw()
    other = ViewTexts.encode(prior, "a duck", "", ViewSettings(left="left view", right="right view"))
    a, b = (make(prior, x).residual(z0, noise, VIEWS, TWO_STEP).grad for x in (texts, other))
    assert not torch.allclose(a, b)


def test_logged_norms_are_the_two_consistencies(prior, texts):
    """Weight 1 and w = -1 + 1: at guidance 0 the gradient is (G_self - z_e) + (z_e - G_cond)."""
    z0, noise = draw()
    got = make(prior, texts).residual(z0, noise, VIEWS, TWO_STEP)
    w, weight = 7.5, got.numbers()["weight"]
    parts = {}
    for name, guidance in (("a", 0.0), ("b", w)):
        settings = SctdSettings(guidance_scale=guidance, guided_condition=False)
        parts[name] = plain_gradient(prior, texts, z0, noise, TWO_STEP, settings) / weight
    cross = (parts["b"] - parts["a"]) / w  # unguided: both runs share z_e - G_cond
    alone = parts["a"] - cross
    plain = make(prior, texts, guided_condition=False).residual(z0, noise, VIEWS, TWO_STEP)
    norms = [x.flatten(1).norm(dim=1).mean().item() for x in (alone, cross)]
    assert plain.numbers()["self_consistency"] == pytest.approx(norms[0], rel=1e-8)
    assert plain.numbers()["cross_consistency"] == pytest.approx(norms[1], rel=1e-8)
    assert (got.numbers()["t"], got.numbers()["s"], got.numbers()["e"]) == (520, 460, 404)


@pytest.mark.parametrize(
    ("settings", "steps", "per_image"),
    [
        ({}, TWO_STEP, 5),
        ({}, ONE_STEP, 4),
        ({"perp_neg": {"enabled": True}}, TWO_STEP, 7),
        ({"perp_neg": {"enabled": True}}, ONE_STEP, 6),
        ({"exact_null": True}, TWO_STEP, 6),
        ({"cp_weight": 0.3}, TWO_STEP, 7),
        ({"cp_weight": 0.3, "perp_neg": {"enabled": True}}, TWO_STEP, 11),
    ],
    ids=str,
)
def test_network_cost(prior, texts, settings, steps, per_image):
    prior.evaluations = 0
    make(prior, texts, **settings).residual(*draw(), VIEWS, steps)
    assert prior.evaluations == per_image * BATCH


def test_exact_null_is_free_when_the_negative_prompt_is_empty(prior):
    texts = ViewTexts.encode(prior, "a duck", "", ViewSettings())
    prior.evaluations = 0
    got = make(prior, texts, exact_null=True).residual(*draw(), VIEWS, TWO_STEP)
    assert prior.evaluations == 5 * BATCH
    expected = plain_gradient(prior, texts, *draw(), TWO_STEP, SctdSettings(exact_null=True))
    torch.testing.assert_close(got.grad, expected, rtol=1e-9, atol=1e-10)


def guide(method: Sctd, iteration: int, seed: int = 0) -> Tensor:
    z0 = draw()[0].requires_grad_()
    guidance = method(z0, VIEWS, iteration, torch.Generator().manual_seed(seed))
    assert not guidance.grad.requires_grad
    return guidance.grad


def noises(method: Sctd, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [method._noise(draw()[0], generator) for _ in range(count)]


def test_fixed_noise_is_one_for_the_run_and_comes_back_after_a_resume(prior, texts):
    first, second = noises(make(prior, texts), 2)
    (resumed,) = noises(make(prior, texts), 1)
    assert torch.equal(first, second)
    assert torch.equal(first, resumed)
    other_seed = Sctd(prior, texts, SctdSettings(), iterations=100, seed=12)
    assert not torch.equal(first, noises(other_seed, 1)[0])


def test_fresh_noise_changes_and_fixed_noise_leaves_the_generator_alone(prior, texts):
    first, second = noises(make(prior, texts, noise="fresh"), 2)
    assert not torch.equal(first, second)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    make(prior, texts)._noise(draw()[0], generator)
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize(
    ("settings", "offset"), [({}, 0.1), ({"perp_neg": {"enabled": True}}, 0.05), ({"noise_offset": 0.0}, 0.0)]
)
def test_noise_offset_is_one_constant_per_channel(prior, texts, settings, offset):
    z0 = torch.zeros(2, 4, 64, 64)
    with_offset = make(prior, texts, noise="fresh", **settings)._noise(z0, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(z0.shape, generator=generator)
    constant = offset * torch.randn(1, 4, 1, 1, generator=generator)
    torch.testing.assert_close(with_offset - plain, constant.expand_as(plain), atol=1e-6, rtol=0)


def test_iterations_repeat_exactly_and_differ_between_seeds(prior, texts):
    method = make(prior, texts, noise="fresh")
    assert torch.equal(guide(method, 3), guide(make(prior, texts, noise="fresh"), 3))
    assert not torch.equal(guide(method, 3), guide(method, 3, seed=1))


@pytest.mark.parametrize("where", ["z0", "network"])
def test_a_non_finite_tensor_is_named_and_not_raised(prior, texts, where, monkeypatch):
    z0, noise = draw()
    if where == "z0":
        z0[1, 0, 0, 0] = float("nan")
        name = "z0"
    else:
        monkeypatch.setattr(prior, "predict", lambda z, t, y: torch.full_like(z, math.inf))
        name = "z_t"
    got = make(prior, texts).residual(z0, noise, VIEWS, TWO_STEP)
    assert got.offender == name
    assert got.numbers()["t"] == 520
    assert all(math.isfinite(value) for value in got.numbers().values())


def test_a_broken_decoder_is_named(prior, texts, monkeypatch):
    monkeypatch.setattr(prior, "decode", lambda z: z * math.nan)
    got = make(prior, texts, cp_weight=0.3).residual(*draw(), VIEWS, TWO_STEP)
    assert got.offender == "pixels"
    assert make(prior, texts).residual(*draw(), VIEWS, TWO_STEP).offender is None


def test_perp_neg_ignores_a_wrong_direction_equal_to_the_right_one():
    null, right = torch.randn(2, 2, 4, 3, 3, dtype=torch.float64)
    wrong = (null + 2 * (right - null))[:, None]
    got = perp_neg(null, right, wrong, torch.full((2, 1), -3.0))
    torch.testing.assert_close(got, right)


def test_perp_neg_survives_a_right_direction_of_length_zero():
    null = torch.randn(2, 4, 3, 3)
    got = perp_neg(null, null, torch.randn(2, 1, 4, 3, 3), torch.zeros(2, 1))
    assert torch.equal(got, null)


def test_registry():
    assert methods.get("sctd") is Sctd
    with pytest.raises(InputError, match="unknown; available: sctd, sds, csd, cds, ism, gcs"):
        methods.get("sctd2")


def test_released_defaults():
    settings = SctdSettings()
    assert (settings.guidance_scale, settings.guidance_weight, settings.segments) == (7.5, 0.1, 5)
    assert (settings.noise, settings.as_latent, settings.t_threshold) == ("fixed", 0.2, 150)
    assert settings.perp_neg == PerpNegSettings(negative_weight=-2, front_decay=2, side_decay=10)
