"""Where the gradients lead: SCTD to the conditional mode; self-consistency alone is content elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sctd import methods
from sctd.cameras import Viewpoints
from sctd.config import load_config
from sctd.config.views import ViewSettings
from sctd.prior.analytic import AnalyticPrior
from sctd.text import ViewTexts

MODE, STEPS = 5, 300
LEVEL = torch.zeros(3)
VIEWS = Viewpoints(LEVEL, LEVEL, LEVEL + 3.3, LEVEL + 0.7, torch.ones(3, 3))
CONDITIONAL = ("cds.guidance_start=1", "cds.guidance_end=1")  # the trajectory of eps(z, t, y), as it is


def mixture(spread: float) -> AnalyticPrior:
    means = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return AnalyticPrior(means, torch.full((6,), spread), torch.linspace(1, 2, 6), {"duck": [MODE]})


def start() -> Tensor:
    """Three points some 8 away from the mode, nearer to others."""
    return torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def build(prior: AnalyticPrior, name: str, *overrides: str) -> tuple[methods.base.Method, float]:
    """The method, and the weight of its gradient to divide by: CDS's code divides by the images."""
    texts = ViewTexts.encode(prior, "duck", "", ViewSettings(enabled=False))
    plain = ("sctd.noise=fresh", "sctd.noise_offset=0", "sctd.weighting=one")
    rule = getattr(load_config(prompt="duck", overrides=[*plain, *overrides]), name)
    weight = rule.guidance_weight / (1 if name == "sctd" else len(LEVEL))
    return methods.get(name)(prior, texts, rule, iterations=STEPS, seed=0), weight


def descend(prior: AnalyticPrior, name: str, *overrides: str) -> Tensor:
    """Where plain descent with momentum ends."""
    method, weight = build(prior, name, *overrides)
    z, generator = start(), torch.Generator().manual_seed(4)
    moment = torch.zeros_like(z)
    for iteration in range(STEPS):
        moment = 0.9 * moment + 0.1 * method(z, VIEWS, iteration, generator).grad / weight
        z = z - 0.03 * moment
    return z


def distances(prior: AnalyticPrior, z: Tensor) -> Tensor:
    """From each point to each component; [3, 6]."""
    return (z[:, None] - prior._means).flatten(2).norm(dim=2)


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_sctd_leads_to_the_conditional_mode(spread):
    prior = mixture(spread)
    assert (distances(prior, start())[:, MODE] > 7).all()
    assert (distances(prior, start()).argmin(1) != MODE).all()
    end = distances(prior, descend(prior, "sctd"))
    assert (end[:, MODE] < 0.5).all(), end
    assert (end.argmin(1) == MODE).all()


@pytest.mark.parametrize("trained", ["noisier", "cleaner"])
def test_self_consistency_alone_stays_far_from_the_mode(trained):
    prior = mixture(0.2)
    end = distances(prior, descend(prior, "cds", *CONDITIONAL, f"cds.trained={trained}"))[:, MODE]
    assert (end > 6).all(), end


def test_self_consistency_holds_exactly_where_the_mode_is_a_point():
    """x0(z, t, y) is then the mode itself for every z and t: nothing is left to make consistent, anywhere.

    From the other modes nothing reaches the conditional trajectory; SCTD's cross-consistency does see them.
    """
    prior = mixture(1e-4)
    grads = {}
    for name, overrides in (("cds", CONDITIONAL), ("sctd", ())):
        method, weight = build(prior, name, *overrides)
        grads[name] = method(start(), VIEWS, 0, torch.Generator().manual_seed(4)).grad / weight
    # what remains is of the order of spread^2 / rho
    assert grads["cds"].abs().max() < 1e-6
    assert (grads["sctd"].flatten(1).norm(dim=1) > 1).all()


@pytest.mark.parametrize("spread", [0.02, 0.2, 0.5])
def test_of_the_two_signs_of_cds_only_that_of_its_code_keeps_to_the_mode(spread):
    """docs/algorithm.md, section 10, quotes this; with guidance 20 to 40, as published, both overshoot."""
    prior = mixture(spread)
    other, code = (
        distances(prior, descend(prior, "cds", f"cds.trained={side}")) for side in ("noisier", "cleaner")
    )
    assert (other[:, MODE] > 100).all()
    assert (other.argmin(1) != MODE).all()
    assert (code[:, MODE] < 50).all()
    assert (code.argmin(1) == MODE).all()
