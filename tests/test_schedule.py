"""Segments, warm-up window and the draws of t, s, e."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

from sctd.config.sctd import SctdSettings, segment_edges
from sctd.errors import InputError
from sctd.methods.timesteps import TimestepSampler, warmup_rate, window
from sctd.prior.analytic import scaled_linear_alphas_cumprod
from sctd.schedule import Schedule


def test_edges_equal_the_released_table():
    assert segment_edges(SctdSettings()) == [20, 212, 404, 596, 788, 980]
    mono = segment_edges(SctdSettings(segment_spacing="mono"))
    assert mono == [20, 150, 311, 503, 726, 980]


@pytest.mark.parametrize("spacing", ["uniform", "mono"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_edges_span_the_range_and_grow(spacing, count):
    edges = segment_edges(SctdSettings(segments=count, segment_spacing=spacing))
    widths = [b - a for a, b in pairwise(edges)]
    assert len(edges) == count + 1
    assert (edges[0], edges[-1]) == (20, 980)
    assert widths == sorted(widths) or spacing == "uniform"
    assert max(widths) - min(widths) <= 1 or spacing == "mono"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"segments": 13}, "fewer segments or a smaller delta_t"),
        ({"segments": 9, "segment_spacing": "mono"}, "cannot grow"),
        ({"t_threshold": 20, "segment_spacing": "mono"}, "cannot grow"),
        ({"t_span": 961}, "lower t_span"),
        ({"delta_t": 20}, "no s fits"),
        ({"segments": 0}, "greater than or equal to 1"),
        ({"segemnts": 5}, "Extra inputs are not permitted"),
        ({"guidance_scale": float("nan")}, "finite number"),
    ],
)
def test_settings_that_cannot_work_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        SctdSettings(**given)


def test_warmup_falls_to_zero_at_its_share_of_the_run():
    assert warmup_rate(0, 5000, 0.3) == 1
    assert warmup_rate(750, 5000, 0.3) == 0.5
    assert warmup_rate(1500, 5000, 0.3) == 0
    assert warmup_rate(4999, 5000, 0.3) == 0
    assert warmup_rate(0, 5000, 0.0) == 0


def test_window_slides_as_released():
    released, paper = SctdSettings(), SctdSettings(warmup_lower_bound=False)
    assert [window(released, r) for r in (1.0, 0.5, 0.0)] == [(500, 980), (260, 740), (20, 500)]
    assert [window(paper, r) for r in (1.0, 0.5, 0.0)] == [(20, 980), (20, 740), (20, 500)]


@pytest.mark.parametrize("sampling", ["released", "uniform_in_segment"])
@pytest.mark.parametrize("spacing", ["uniform", "mono"])
@pytest.mark.parametrize("segments", [1, 5, 7])
def test_every_draw_keeps_its_distances(sampling, spacing, segments):
    settings = SctdSettings(timestep_sampling=sampling, segment_spacing=spacing, segments=segments)
    sampler, generator = TimestepSampler(settings, 400), torch.Generator().manual_seed(1)
    for iteration in range(400):
        t, s, e = sampler.draw(iteration, generator)
        assert e in sampler.edges[:-1]
        assert e + 80 <= t <= sampler.edges[sampler.edges.index(e) + 1]
        assert e + 10 <= s < t - 10


def late_draws(sampling: str, count: int = 4000) -> list[tuple[int, int, int]]:
    sampler = TimestepSampler(SctdSettings(timestep_sampling=sampling), 100)
    generator = torch.Generator().manual_seed(0)
    return [sampler.draw(99, generator) for _ in range(count)]


def test_released_draws_pile_up_at_the_edge_plus_delta():
    """t uniform in [20, 500) touches three segments; 80 values in each are raised to e + 80."""
    draws = late_draws("released")
    raised = sum(t == e + 80 for t, _, e in draws) / len(draws)
    expected = (81 + 81 + 81) / 480  # e + 80 itself is also drawn
    assert abs(raised - expected) < 4 * (expected * (1 - expected) / len(draws)) ** 0.5


def test_uniform_in_segment_fills_the_segment_evenly():
    draws = [t for t, _, e in late_draws("uniform_in_segment") if e == 212]
    values = 404 - 292 + 1
    quarters = Counter(min(3, (t - 292) * 4 // values) for t in draws)
    expected = len(draws) / 4
    assert min(draws) < 300
    assert max(draws) > 396
    assert sum((quarters[q] - expected) ** 2 / expected for q in range(4)) < 16.3  # chi^2, 3 dof, p = 0.001


def test_draws_repeat_with_the_generator():
    assert late_draws("released", 50) == late_draws("released", 50)


def test_schedule_levels_and_weight():
    abar = scaled_linear_alphas_cumprod()
    schedule = Schedule(abar)
    alpha, sigma = schedule.level(500)
    assert alpha**2 + sigma**2 == pytest.approx(1, abs=1e-14)
    assert alpha == pytest.approx(abar[500].sqrt().item(), abs=1e-15)
    ratio = ((1 - abar[500]) / abar[500]).sqrt().item()
    assert schedule.weight(500, 404, SctdSettings()) == pytest.approx(0.1 * ratio, rel=1e-14)
    assert schedule.weight(500, 404, SctdSettings(weighting="one", guidance_weight=2)) == 2


@pytest.mark.parametrize(
    ("abar", "message"),
    [(torch.linspace(0.9, 0.1, 100), "works with 1000"), (torch.linspace(1, 0, 1000), "outside")],
)
def test_schedules_that_cannot_work_are_refused(abar, message):
    with pytest.raises(InputError, match=message):
        Schedule(abar)
