"""Each method beside SCTD against a plain implementation of its equation: one image, one call at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from sctd import methods
from sctd.cameras import Viewpoints
from sctd.config import Config, load_config
from sctd.config.views import ViewSettings
from sctd.errors import InputError
from sctd.methods import gcs
from sctd.prior.analytic import AnalyticPrior
from sctd.text import ViewTexts, blend_weights

BATCH, ITERATIONS, SEED = 2, 40, 11
AZIMUTH = torch.tensor([0.2, -1.2], dtype=torch.float64)
ELEVATION = torch.zeros(BATCH, dtype=torch.float64)
VIEWS = Viewpoints(AZIMUTH, ELEVATION, 3.3 + ELEVATION, 0.7 + ELEVATION, torch.ones(BATCH, 3))
LABELS = {"front": [0, 4], "left": [1, 4], "right": [2, 4], "back": [3, 4], "blurry": [5]}
LABELS["duck"] = [0, 1, 2, 3, 4]
OTHERS = ("sds", "csd", "cds", "ism", "gcs")
Scalars = dict[str, float]


@pytest.fixture
def prior() -> AnalyticPrior:
    """Wide enough components that every text keeps its say at every level."""
    means = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return AnalyticPrior(means, torch.linspace(0.4, 0.9, 6), torch.linspace(1, 2, 6), LABELS)


def latents() -> Tensor:
    return torch.randn(BATCH, 4, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def settings(name: str, preset: str = "embedded", **changes: Any) -> Any:
    """As for the embedded prior, or as published (`sd21` leaves the methods' own defaults)."""
    overrides = [f"{name}.{key}={value}" for key, value in changes.items()]
    return getattr(load_config(preset, prompt="a duck", overrides=overrides), name)


def run(
    prior: AnalyticPrior,
    name: str,
    iteration: int,
    negative: str = "blurry",
    preset: str = "embedded",
    **changes: Any,
) -> Any:
    texts = ViewTexts.encode(prior, "a duck", negative, ViewSettings(left="left view", right="right view"))
    rule = settings(name, preset, **changes)
    method = methods.get(name)(prior, texts, rule, iterations=ITERATIONS, seed=SEED)
    return method(latents(), VIEWS, iteration, torch.Generator().manual_seed(iteration))


class Plain:
    """The prior's formulas once more, for one image."""

    def __init__(self, prior: AnalyticPrior, i: int, negative: str) -> None:
        self.prior, self.abar = prior, prior.traits.alphas_cumprod
        phrases = ("front view", "left view", "right view", "back view", "overhead view")
        views = prior.encode_text([f"a duck, {phrase}" for phrase in phrases])
        weights = blend_weights(AZIMUTH[i : i + 1], ELEVATION[i : i + 1])[0]
        self.y = sum(weights[v] * views[v] for v in range(5))[None]
        self.neg, self.null = prior.encode_text([negative]), prior.encode_text([""])

    def eps(self, z: Tensor, t: int, text: Tensor) -> Tensor:
        return self.prior.predict(z, t, text)

    def cfg(self, z: Tensor, t: int, w: float) -> Tensor:
        return (1 - w) * self.eps(z, t, self.neg) + w * self.eps(z, t, self.y)

    def x0(self, z: Tensor, eps: Tensor, t: int) -> Tensor:
        return (z - (1 - self.abar[t]).sqrt() * eps) / self.abar[t].sqrt()

    def mix(self, z0: Tensor, eps: Tensor, t: int) -> Tensor:
        return self.abar[t].sqrt() * z0 + (1 - self.abar[t]).sqrt() * eps

    def step(self, z: Tensor, eps: Tensor, a: int, b: int) -> Tensor:
        return self.mix(self.x0(z, eps, a), eps, b)


def drawn(name: str, iteration: int, rule: Any) -> Tensor:
    """The noise of that iteration: after one draw of t, or three of t, e, s, or from the run's seed."""
    generator = torch.Generator().manual_seed(iteration)
    draws = {"gcs": 2 if name == "gcs" and rule.timestep_sampling == "released" else 3, "cds": 0}
    if name == "cds":
        generator = torch.Generator().manual_seed(SEED + 0x5C7D)
        if rule.noise == "shared":
            return torch.randn((1, 4, 3, 3), generator=generator).double().expand(BATCH, -1, -1, -1)
    for _ in range(draws.get(name, 1)):
        torch.randint(0, 10, (1,), generator=generator)
    noise = torch.randn((BATCH, 4, 3, 3), generator=generator)
    if name == "gcs" and rule.noise_offset:
        noise = noise + rule.noise_offset * torch.randn((1, 4, 1, 1), generator=generator)
    return noise.double()


PROGRESS = 10 / (ITERATIONS - 1)
RATE = 1 - 10 / 12  # of the warm-up, which is 0.3 of 40 iterations


def plain_sds(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t = int(at["t"])
    weight = rule.guidance_weight / BATCH
    return weight * (1 - p.abar[t]) * (p.cfg(p.mix(z0, noise, t), t, rule.guidance_scale) - noise)


def plain_csd(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t = int(at["t"])
    z = p.mix(z0, noise, t)
    n = rule.null_share_start + (rule.null_share_end - rule.null_share_start) * PROGRESS
    away = (1 - n) * p.eps(z, t, p.neg) + n * p.eps(z, t, p.null)
    return rule.guidance_weight / BATCH * (1 - p.abar[t]) * (p.eps(z, t, p.y) - away)


def plain_cds(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    w = (1 - PROGRESS) * rule.guidance_start + PROGRESS * rule.guidance_end
    s = round(rule.s_start - (rule.s_start - rule.s_end) * math.sqrt(PROGRESS))
    t = int(at["t"])
    assert int(at["s"]) == s
    assert rule.gap <= t - s < rule.gap + rule.gap_width
    z = p.mix(z0, noise, t)
    eps = p.cfg(z, t, w)
    lower = p.step(z, eps, t, s)
    below = p.cfg(lower, s, w)
    difference = eps - below if rule.weighting == "epsilon" else p.x0(lower, below, s) - p.x0(z, eps, t)
    if rule.clip_start is not None:
        limit = rule.clip_start + (rule.clip_end - rule.clip_start) * PROGRESS
        assert difference.abs().max() > limit, "nothing to clip: the test would not see it"
        difference = difference.clip(-limit, limit)
    return rule.guidance_weight / BATCH * difference


def plain_ism(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t, s = int(at["t"]), int(at["s"])
    assert t - s == int(rule.interval_end + (rule.interval_start - rule.interval_end) * RATE)
    assert 20 <= t <= rule.t_max_end + (980 - rule.t_max_end) * RATE
    path = [*range(0, s, 200), s]
    z = z0
    for a, b in pairwise(path):
        z = p.step(z, p.eps(z, a, p.null), a, b)
    target = p.eps(z, s, p.null)
    z = p.step(z, target, s, t)
    weight = rule.guidance_weight * ((1 - p.abar[t]) / p.abar[t]).sqrt()
    return weight * (p.cfg(z, t, rule.guidance_scale) - target)


def plain_gcs(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    """S-(1) as three norms, differentiated by autograd; the network's outputs are constants."""
    t, s, e = (int(at[k]) for k in "tse")
    z0 = z0.clone().requires_grad_()

    def clean(z: Tensor, eps: Tensor) -> Tensor:
        return p.x0(z, eps, e)

    z_e = p.mix(z0, noise, e)
    null_e = p.eps(z_e, e, p.null)
    z_s = p.step(z_e, null_e, e, s)
    z_t = p.step(z_s, p.eps(z_s, s, p.null), s, t)
    guided = p.cfg(z_t, t, rule.guidance_scale)
    back = p.step(z_t, guided, t, s)
    g_cond = p.step(z_t, guided, t, e)
    g_null = p.step(z_t, p.eps(z_t, t, p.null), t, e)
    g_self = p.step(back, p.eps(back, s, p.null), s, e)
    f_e = clean(z_e, null_e)
    f_null = clean(g_cond, p.eps(g_cond, e, p.null))
    f_y = clean(g_cond, p.cfg(g_cond, e, rule.guidance_scale))

    loss_cc = (g_null - g_self.detach()).square().sum()
    target = f_y if rule.losses == "released" else f_null
    loss = rule.cc_weight * loss_cc + rule.cg_weight * (f_e - target.detach()).square().sum()
    if rule.losses == "supplement":
        loss_cp = (p.prior.decode(f_e) - p.prior.decode(f_y.detach())).square().sum()
        loss = loss + rule.cp_weight * loss_cp
    return torch.autograd.grad(rule.guidance_weight / BATCH * loss, z0)[0]


PLAIN: dict[str, Callable[..., Tensor]] = {
    "sds": plain_sds,
    "csd": plain_csd,
    "cds": plain_cds,
    "ism": plain_ism,
    "gcs": plain_gcs,
}
KNOBS = {
    "sds": ("guidance_weight", "guidance_scale"),
    "csd": ("guidance_weight", "null_share_end"),
    "cds": ("guidance_weight", "guidance_start", "guidance_end", "clip_start"),
    "ism": ("guidance_weight", "guidance_scale"),
    "gcs": ("guidance_weight", "guidance_scale", "cc_weight", "cg_weight", "cp_weight"),
}


def expected(prior: AnalyticPrior, name: str, got: Any, negative: str, preset: str = "embedded") -> Tensor:
    rule = settings(name, preset)
    noise, z0 = drawn(name, 10, rule), latents()
    return torch.cat(
        [
            PLAIN[name](Plain(prior, i, negative), z0[i : i + 1], noise[i : i + 1], got.numbers(), rule)
            for i in range(BATCH)
        ]
    )


@pytest.mark.parametrize("negative", ["blurry", ""])
@pytest.mark.parametrize("preset", ["embedded", "sd21"])
@pytest.mark.parametrize("name", OTHERS)
def test_gradient_equals_a_plain_implementation(prior, name, preset, negative):
    prior.evaluations = 0
    got = run(prior, name, 10, negative, preset)
    assert got.offender is None
    assert got.numbers()["evaluations"] == prior.evaluations
    assert got.numbers()["weight"] > 0
    # double rounding, some 1e-16 times guidance 100 over a handful of operations
    torch.testing.assert_close(got.grad, expected(prior, name, got, negative, preset), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("preset", ["embedded", "sd21"])
def test_gcs_logs_its_three_losses_with_their_weights(prior, preset):
    """Squared norms, means over the batch, of what the iteration made."""
    rule, got = settings("gcs", preset), run(prior, "gcs", 10, "blurry", preset)
    made, told = got.made(), got.numbers()
    squares = (made["G_null"] - made["G_self"], made["pixels"])
    wanted = [float(x.square().sum()) / BATCH for x in squares]
    assert told["L_CC"] == pytest.approx(rule.cc_weight * wanted[0])
    assert told["L_CP"] == pytest.approx(rule.cp_weight * wanted[1])
    assert told["L_CG"] >= rule.cg_weight * told["conditional_guidance"] ** 2 * (1 - 1e-9), "mean of squares"
    assert told["L_CP"] > 0


IN_FORCE = [
    (name, knob, preset)
    for name, knobs in KNOBS.items()
    for knob in knobs
    for preset in ("embedded", "sd21")
    # a share of 0 and a limit that is off stay so; the pixel term as released is tested below
    if getattr(settings(name, preset), knob) and (knob, preset) != ("cp_weight", "sd21")
]


@pytest.mark.parametrize(("name", "knob", "preset"), IN_FORCE)
def test_a_change_by_a_thousandth_is_seen(prior, name, knob, preset):
    got = run(prior, name, 10, preset=preset, **{knob: getattr(settings(name, preset), knob) * 1.001})
    want = expected(prior, name, got, "blurry", preset)
    assert got.offender is None
    assert not torch.allclose(got.grad, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "culprit"),
    [("sds", "eps_w"), ("csd", "eps_neg"), ("cds", "eps_t"), ("ism", "z_s"), ("gcs", "z_t")],
)
def test_a_non_finite_tensor_is_named_and_not_raised(prior, name, culprit, monkeypatch):
    monkeypatch.setattr(prior, "predict", lambda z, t, y: torch.full_like(z, math.inf))
    got = run(prior, name, 10)
    assert got.offender == culprit
    assert all(math.isfinite(value) for value in got.numbers().values())


@pytest.mark.parametrize("name", OTHERS)
def test_a_broken_latent_is_named(prior, name, monkeypatch):
    monkeypatch.setitem(globals(), "latents", lambda: torch.full((BATCH, 4, 3, 3), math.nan).double())
    assert run(prior, name, 10).offender == "z0"


def test_cds_in_terms_of_noise_has_the_sign_of_its_code(prior):
    """Consistent3D's code descends along eps(z_t, t) - eps(z_s, s), which is -alpha_s/sigma_s times x0's."""
    given, code = (run(prior, "cds", 10, trained=side) for side in ("noisier", "cleaner"))
    assert torch.equal(code.grad, -given.grad)
    t, s, w = int(code.numbers()["t"]), int(code.numbers()["s"]), code.numbers()["guidance_scale"]
    noise, z0 = drawn("cds", 10, settings("cds")), latents()
    for i in range(BATCH):
        p = Plain(prior, i, "blurry")
        z_t = p.mix(z0[i : i + 1], noise[i : i + 1], t)
        eps_t = p.cfg(z_t, t, w)
        eps_s = p.cfg(p.step(z_t, eps_t, t, s), s, w)
        ratio = ((1 - p.abar[s]) / p.abar[s]).sqrt()
        weight = 4.0 / BATCH
        torch.testing.assert_close(
            code.grad[i : i + 1], weight * ratio * (eps_t - eps_s), rtol=1e-8, atol=1e-9
        )


def test_gcs_without_the_pixel_term_costs_less(prior):
    assert run(prior, "gcs", 10).numbers()["evaluations"] == 9 * BATCH
    assert run(prior, "gcs", 10, cp_weight=0).numbers()["evaluations"] == 7 * BATCH
    assert run(prior, "gcs", 10, negative="").numbers()["evaluations"] == 7 * BATCH
    assert run(prior, "gcs", 10, negative="", cp_weight=0).numbers()["evaluations"] == 6 * BATCH


@pytest.mark.parametrize("name", methods.BUILT)
def test_each_method_has_a_section_that_refuses_unknown_keys(name):
    assert name in Config.model_fields
    with pytest.raises(InputError, match=f"unknown setting '{name}.magic'"):
        load_config(prompt="a duck", overrides=[f"{name}.magic=1"])


@pytest.mark.parametrize("name", OTHERS)
def test_every_iteration_finds_its_timesteps(prior, name):
    """Down to a window that leaves a single t, from the first iteration to the last."""
    narrow = {"cds": {"s_start": 70, "s_end": 20}, "ism": {"t_max_end": 120}}.get(name, {})
    for iteration in (0, ITERATIONS - 1):
        assert run(prior, name, iteration, t_min=20, t_max=120, **narrow).numbers()["t"] <= 120
    with pytest.raises(InputError, match="t_max"):
        settings(name, t_min=121, t_max=120)


@pytest.mark.parametrize("name", ["csd", "cds", "ism"])
def test_the_others_draw_as_released(prior, name):
    """Windows of the authors' configs, at the beginning of a run, in the middle and at its end."""
    found = {i: run(prior, name, i, preset="sd21").numbers() for i in range(ITERATIONS)}
    for i, told in found.items():
        t, left = told["t"], 1 - min(i / (0.3 * ITERATIONS), 1)
        if name == "csd":
            assert 20 <= t <= 500
        elif name == "ism":
            assert 20 <= t <= 500 + 480 * left
            assert t - told["s"] == min(t, int(80 + 20 * left))
        else:
            assert told["s"] == 700 - round(600 * (i / (ITERATIONS - 1)) ** 0.5)
            assert 100 <= t - told["s"] < 300 or t == 980


def test_gcs_draws_as_released():
    """Against the code's arithmetic, written out once more, over many draws of a run."""
    rule, generator = settings("gcs", "sd21"), torch.Generator().manual_seed(3)
    for iteration in range(0, 5000, 7):
        rate = 1 - min(iteration / 1500, 1.0)
        t, s, e = gcs._released(rule, rate, generator)
        d = int(80 + math.ceil(20 * rate))
        assert s == max(t - d, 1)
        assert t >= d + 1
        assert 20 + int(480 * rate) <= t < 500 + int(480 * rate) or t == d + 1
        # in the last few timesteps the code's e, s and t may be the same: then a step is none
        assert max(t - 2 * d, 1) <= e <= max(t - d - 11, 1)
        assert e <= s < t


def test_gcs_pulls_the_pictures_as_released(prior):
    """L_CP of ConnectCD's code: |x - (x + D F_cond,y - D F_e)|^2 over the images, by the pictures x."""
    got = run(prior, "gcs", 10, preset="sd21")
    rule, at = settings("gcs", "sd21"), got.numbers()
    noise, z0 = drawn("gcs", 10, rule), latents()
    t, s, e = (int(at[k]) for k in "tse")
    for i in range(BATCH):
        p = Plain(prior, i, "blurry")
        z_e = p.mix(z0[i : i + 1], noise[i : i + 1], e)
        null_e = p.eps(z_e, e, p.null)
        z_s = p.step(z_e, null_e, e, s)
        z_t = p.step(z_s, p.eps(z_s, s, p.null), s, t)
        g_cond = p.step(z_t, p.cfg(z_t, t, 7.5), t, e)
        own, wanted = (
            prior.decode(p.x0(z, eps, e)).clamp(0, 1)
            for z, eps in ((z_e, null_e), (g_cond, p.cfg(g_cond, e, 7.5)))
        )
        x = torch.rand_like(own).requires_grad_()
        loss = 0.1 / BATCH * 0.5 * (x - (x + wanted - own).detach()).square().sum()
        (want,) = torch.autograd.grad(loss, x)
        assert want.abs().max() > 0
        torch.testing.assert_close(got.of_pictures[i : i + 1], want, rtol=1e-9, atol=1e-12)
    assert run(prior, "gcs", 10).of_pictures is None
    assert run(prior, "gcs", 10, preset="sd21", cp_weight=0).of_pictures is None
