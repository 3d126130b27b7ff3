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
from sctd.errors import InputError
from sctd.methods.settings import ViewSettings
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


def settings(name: str, **changes: Any) -> Any:
    overrides = [f"{name}.{key}={value}" for key, value in changes.items()]
    return getattr(load_config(prompt="a duck", overrides=overrides), name)


def run(prior: AnalyticPrior, name: str, iteration: int, negative: str = "blurry", **changes: Any) -> Any:
    texts = ViewTexts.encode(prior, "a duck", negative, ViewSettings(left="left view", right="right view"))
    method = methods.get(name)(prior, texts, settings(name, **changes), iterations=ITERATIONS, seed=SEED)
    return method(latents(), VIEWS, iteration, torch.Generator().manual_seed(iteration))


class Plain:
    """The prior's formulas once more, for one image."""

    def __init__(self, prior: AnalyticPrior, i: int, negative: str) -> None:
        self.prior, self.abar = prior, prior.alphas_cumprod
        phrases = ("front view", "left view", "right view", "back view", "overhead view")
        views = prior.encode_text([f"a duck, {phrase}" for phrase in phrases])
        weights = blend_weights(AZIMUTH[i : i + 1], ELEVATION[i : i + 1])[0]
        self.y = sum(weights[v] * views[v] for v in range(5))[None]
        self.neg, self.null = prior.encode_text([negative]), prior.encode_text([""])

    def eps(self, z: Tensor, t: int, text: Tensor) -> Tensor:
        return self.prior.predict_noise(z, t, text)

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
    if name == "cds":
        generator = torch.Generator().manual_seed(SEED + 0x5C7D)
    elif name in ("sds", "csd", "gcs"):
        for _ in range(3 if name == "gcs" else 1):
            torch.randint(0, 10, (1,), generator=generator)
    return torch.randn((BATCH, 4, 3, 3), generator=generator).double()


def plain_sds(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t = int(at["t"])
    return (1 - p.abar[t]) * (p.cfg(p.mix(z0, noise, t), t, rule.guidance_scale) - noise)


def plain_csd(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t = int(at["t"])
    z = p.mix(z0, noise, t)
    return (1 - p.abar[t]) * (p.eps(z, t, p.y) - p.eps(z, t, p.neg))


def plain_cds(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    progress = 10 / (ITERATIONS - 1)
    w = (1 - progress) * rule.guidance_start + progress * rule.guidance_end
    t = round(980 - (980 - 20 - 50) * math.sqrt(progress))
    z = p.mix(z0, noise, t)
    eps = p.cfg(z, t, w)
    lower = p.step(z, eps, t, t - 50)
    return p.x0(lower, p.cfg(lower, t - 50, w), t - 50) - p.x0(z, eps, t)


def plain_ism(p: Plain, z0: Tensor, noise: Tensor, at: Scalars, rule: Any) -> Tensor:
    t, s = int(at["t"]), int(at["s"])
    assert t - s == 50 + round(50 * (1 - 10 / 12))  # the warm-up is 0.3 of 40 iterations
    path = [0, *reversed(range(s, 0, -200))]
    assert len(path) <= 6
    z = z0
    for a, b in pairwise(path):
        z = p.step(z, p.eps(z, a, p.null), a, b)
    target = p.eps(z, s, p.null)
    z = p.step(z, target, s, t)
    weight = 0.1 * ((1 - p.abar[t]) / p.abar[t]).sqrt()
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
    loss_cg = (f_e - f_null.detach()).square().sum()
    loss_cp = (p.prior.decode(f_e) - p.prior.decode(f_y.detach())).square().sum()
    loss = rule.cc_weight * loss_cc + rule.cg_weight * loss_cg + rule.cp_weight * loss_cp
    return torch.autograd.grad(0.1 * loss, z0)[0]


PLAIN: dict[str, Callable[..., Tensor]] = {
    "sds": plain_sds,
    "csd": plain_csd,
    "cds": plain_cds,
    "ism": plain_ism,
    "gcs": plain_gcs,
}
KNOBS = {
    "sds": ("guidance_weight", "guidance_scale"),
    "csd": ("guidance_weight",),
    "cds": ("guidance_weight", "guidance_start", "guidance_end"),
    "ism": ("guidance_weight", "guidance_scale"),
    "gcs": ("guidance_weight", "guidance_scale", "cc_weight", "cg_weight", "cp_weight"),
}


def expected(prior: AnalyticPrior, name: str, got: Any, negative: str) -> Tensor:
    rule = settings(name)
    noise, z0 = drawn(name, 10, rule), latents()
    return torch.cat(
        [
            PLAIN[name](Plain(prior, i, negative), z0[i : i + 1], noise[i : i + 1], got.numbers(), rule)
            for i in range(BATCH)
        ]
    )


@pytest.mark.parametrize("negative", ["blurry", ""])
@pytest.mark.parametrize("name", OTHERS)
def test_gradient_equals_a_plain_implementation(prior, name, negative):
    prior.evaluations = 0
    got = run(prior, name, 10, negative)
    assert got.offender is None
    assert got.numbers()["evaluations"] == prior.evaluations
    assert got.numbers()["weight"] > 0
    # double rounding, some 1e-16 times guidance 100 over a handful of operations
    torch.testing.assert_close(got.grad, expected(prior, name, got, negative), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "knob"), [(name, knob) for name, knobs in KNOBS.items() for knob in knobs])
def test_a_change_by_a_thousandth_is_seen(prior, name, knob):
    got = run(prior, name, 10, **{knob: getattr(settings(name), knob) * 1.001})
    want = expected(prior, name, got, "blurry")
    assert got.offender is None
    assert not torch.allclose(got.grad, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "culprit"),
    [("sds", "eps_w"), ("csd", "eps_neg"), ("cds", "eps_t"), ("ism", "z_s"), ("gcs", "z_t")],
)
def test_a_non_finite_tensor_is_named_and_not_raised(prior, name, culprit, monkeypatch):
    monkeypatch.setattr(prior, "predict_noise", lambda z, t, y: torch.full_like(z, math.inf))
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
    noise, z0 = drawn("cds", 10, None), latents()
    for i in range(BATCH):
        p = Plain(prior, i, "blurry")
        z_t = p.mix(z0[i : i + 1], noise[i : i + 1], t)
        eps_t = p.cfg(z_t, t, w)
        eps_s = p.cfg(p.step(z_t, eps_t, t, s), s, w)
        ratio = ((1 - p.abar[s]) / p.abar[s]).sqrt()
        torch.testing.assert_close(code.grad[i : i + 1], ratio * (eps_t - eps_s), rtol=1e-8, atol=1e-9)


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
    for iteration in (0, ITERATIONS - 1):
        assert run(prior, name, iteration, t_min=20, t_max=120).numbers()["t"] <= 120
    with pytest.raises(InputError, match="t_max"):
        settings(name, t_min=121, t_max=120)
