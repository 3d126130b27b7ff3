"""Learning rates, clipping, and Adam whose rows follow their Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from small_assets import lopsided

from sctd.config import load_config
from sctd.config.asset import OptimSettings, RateSettings
from sctd.gaussians import Gaussians
from sctd.rates import learning_rate
from sctd.splats.optim import GaussianAdam, clip_norm


def set_gradients(gaussians: Gaussians, seed: int, rows: torch.Tensor | None = None) -> None:
    """Random gradients, the same for a Gaussian wherever it stands: ``rows`` says which it is."""
    g = torch.Generator().manual_seed(seed)
    for p in gaussians.parameters().values():
        gradient = torch.randn(p.shape, generator=g)
        p.grad = gradient if rows is None else gradient[rows]


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [(0, 1.6e-4), (2500, 1.6e-5), (5000, 1.6e-6), (99999, 1.6e-6), (1250, 1.6e-4 * 10**-0.5)],
)
def test_positions_rate_is_log_linear(iteration: int, expected: float) -> None:
    rate = load_config("sd21", prompt="x").optim.means
    assert learning_rate(rate, iteration, 5000) == pytest.approx(expected)


def test_rates_without_steps_end_with_the_run_and_without_end_stay() -> None:
    assert learning_rate(RateSettings(start=1e-2, end=1e-4), 100, 200) == pytest.approx(1e-3)
    assert learning_rate(RateSettings(start=3e-3), 100, 200) == pytest.approx(3e-3)


def test_delayed_start() -> None:
    rate = RateSettings(start=1.0, delay_steps=100, delay_factor=0.01)
    assert learning_rate(rate, 0, 1000) == pytest.approx(0.01)
    assert learning_rate(rate, 50, 1000) == pytest.approx(0.01 + 0.99 * math.sin(math.pi / 4))
    assert learning_rate(rate, 100, 1000) == pytest.approx(1.0)


def test_clip_norm_rises_and_can_be_off() -> None:
    released = load_config("sd21", prompt="x").optim
    assert [clip_norm(released, i) for i in (0, 500, 1000, 4000)] == [2, 5, 8, 8]
    assert clip_norm(OptimSettings(), 0) is None


def test_matches_torch_adam() -> None:
    settings = OptimSettings(eps=1e-8)
    ours = GaussianAdam(lopsided(1, 9), settings, 10)
    theirs = lopsided(1, 9).requires_grad_()
    groups = [{"params": [p], "lr": ours.rate(name, 0)} for name, p in theirs.parameters().items()]
    reference = torch.optim.Adam(groups, betas=(settings.beta1, settings.beta2), eps=1e-8)
    for i in range(5):
        set_gradients(ours.gaussians, i)
        set_gradients(theirs, i)
        ours.step(i)
        reference.step()
    for name, p in theirs.parameters().items():
        torch.testing.assert_close(ours.gaussians.parameters()[name], p, rtol=1e-5, atol=1e-6)


def test_clipping_limits_each_kind_of_parameter_by_itself() -> None:
    """With beta1 = 0 the first moment is the clipped gradient."""
    ours = GaussianAdam(lopsided(1, 9), OptimSettings(clip=True, clip_start=2.0, beta1=0.0), 10)
    set_gradients(ours.gaussians, 0)
    small = ours.gaussians.opacities
    small.grad = torch.full_like(small, 0.01)
    ours.step(0)
    for name, moment in ours.exp_avg.items():
        assert float(moment.norm()) == pytest.approx(0.03 if name == "opacities" else 2.0, rel=1e-4), name


def test_rows_keep_their_moments_when_gaussians_move() -> None:
    """Optimising, permuting and dropping rows, and optimising on is the same as permuting at the start."""
    rows = torch.tensor([5, 0, 3, 3, 8])
    ours = GaussianAdam(lopsided(1, 9), OptimSettings(), 10)
    for i in range(3):
        set_gradients(ours.gaussians, i)
        ours.step(i)
    ours.zero_grad()
    moved = Gaussians(**{name: p.detach()[rows] for name, p in ours.gaussians.parameters().items()})
    ours.replace(moved, rows, torch.zeros(len(rows), dtype=torch.bool))

    permuted = Gaussians(**{name: p[rows] for name, p in lopsided(1, 9).parameters().items()})
    other = GaussianAdam(permuted, OptimSettings(), 10)
    for i in range(3):
        set_gradients(some := other.gaussians, i, None)
        full = lopsided(1, 9).requires_grad_()
        set_gradients(full, i)
        for name, p in some.parameters().items():
            gradient = full.parameters()[name].grad
            assert gradient is not None
            p.grad = gradient[rows]
        other.step(i)
    for i in range(3, 5):
        set_gradients(ours.gaussians, i)
        set_gradients(other.gaussians, i)
        ours.step(i)
        other.step(i)
    for name, p in other.gaussians.parameters().items():
        assert torch.equal(ours.gaussians.parameters()[name], p), name


def test_fresh_rows_start_from_zero_moments() -> None:
    ours = GaussianAdam(lopsided(1, 4), OptimSettings(), 10)
    set_gradients(ours.gaussians, 0)
    ours.step(0)
    before = {name: m.clone() for name, m in ours.exp_avg.items()}
    rows = torch.tensor([0, 1, 2, 3, 1])
    fresh = torch.tensor([False, True, False, False, True])
    ours.replace(
        Gaussians(**{n: p.detach()[rows] for n, p in ours.gaussians.parameters().items()}), rows, fresh
    )
    for name, moment in ours.exp_avg.items():
        assert moment.shape[0] == 5
        assert torch.equal(moment[[0, 2, 3]], before[name][[0, 2, 3]]), name
        assert not moment[[1, 4]].any(), name
        assert not ours.exp_avg_sq[name][[1, 4]].any(), name


def test_degree_0_has_no_state_for_shn() -> None:
    flat = lopsided(1, 4)
    flat.shN = torch.zeros(4, 0, 3)
    ours = GaussianAdam(flat, OptimSettings(), 10)
    set_gradients(ours.gaussians, 0)
    ours.step(0)
    assert "shN" not in ours.exp_avg
