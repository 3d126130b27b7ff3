"""The simulation of many workers: nothing is lost in it, and each cost shows where it must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.batch_simulation import WORKERS, Costs, simulate
from sctd.batch.cluster import POLL_S, report_every

FREE = Costs(
    asset_s=50.0,
    coordinator_s=0.0,
    report_s=0.0,
    written_mb=0.0,
    spread=0.0,
    slow_share=0.0,
    deaths_an_hour=0.0,
)


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_without_costs_every_worker_is_busy_to_the_end(workers: int) -> None:
    point = simulate(FREE, workers, 10 * workers * FREE.in_flight)
    assert point.efficiency == pytest.approx(1.0, rel=1e-9)
    assert point.hours == pytest.approx(10 * FREE.in_flight * FREE.asset_s / 3600)
    assert (point.coordinator_busy, point.store_busy, point.deaths) == (0, 0, 0)


@pytest.mark.parametrize("slower", [{"coordinator_s": 2.0}, {"written_mb": 2000.0}, {"deaths_an_hour": 2.0}])
def test_each_cost_is_felt(slower: dict[str, float]) -> None:
    point = simulate(replace(FREE, **slower), 16, 640)
    assert point.efficiency < 0.9
    if "coordinator_s" in slower:
        assert point.hours >= 640 * 2.0 / 3600
    if "written_mb" in slower:
        assert point.hours >= 640 * 2000.0 / FREE.store_mb_s / 3600
    if "deaths_an_hour" in slower:
        assert point.deaths > 5


def test_the_same_seed_is_the_same_batch() -> None:
    costs = Costs(asset_s=50.0, coordinator_s=0.01)
    assert simulate(costs, 8, 320) == simulate(costs, 8, 320)
    assert simulate(costs, 8, 320, seed=1) != simulate(costs, 8, 320)


def test_reports_leave_the_desk_most_of_its_time() -> None:
    for workers in WORKERS:
        assert workers * 1e-3 / report_every(workers) <= 0.2 + 1e-9
        assert report_every(workers) >= POLL_S
