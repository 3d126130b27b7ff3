"""Percentiles, and who is called when."""

from __future__ import annotations

import pytest

from sctd.bench import timing
from sctd.bench.timing import Clock, Plan, interleave, quantile, spread


class FakeTime:
    """A clock that moves only when a contender works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def contender(self, name: str, seconds: float) -> timing.Call:
        def call() -> None:
            self.now += seconds
            self.log.append(name)

        return call

    def clock(self, cores: float = 1.0) -> Clock:
        return Clock(lambda: self.now, lambda: cores * self.now)


def test_percentiles_are_linear_between_the_ordered_values() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.2) == pytest.approx(1.2)
    assert quantile([7.0], 0.8) == 7.0
    s = spread([float(x) for x in range(101)])
    assert (s.p20, s.p50, s.p80) == pytest.approx((20, 50, 80))


def test_contenders_take_turns_and_get_their_own_times() -> None:
    time = FakeTime()
    measured = interleave(
        {"a": time.contender("a", 0.5), "b": time.contender("b", 2.0)},
        Plan(seconds=99, repeats=4),
        time.clock(2),
    )
    assert "".join(time.log) == "aabb" + "abab" * 2  # two calls each to warm up, then four turns
    assert measured.samples["a"].wall_ms == [500.0] * 4
    assert measured.samples["b"].cpu_ms == [4000.0] * 4


def test_a_fast_contender_gets_more_samples_beside_a_slow_one() -> None:
    time = FakeTime()
    contenders = {
        "a": time.contender("a", 0.19),
        "b": time.contender("b", 8.0),
        "c": time.contender("c", 0.39),
    }
    measured = interleave(contenders, Plan(seconds=0.1), time.clock())
    assert "".join(time.log) == "aabbcc" + "aaaabcc" * 3
    assert [len(s.wall_ms) for s in measured.samples.values()] == [12, 3, 6]


def test_a_short_call_fills_a_sample_and_is_warm() -> None:
    time = FakeTime()
    measured = interleave({"a": time.contender("a", 1e-4)}, Plan(repeats=3), time.clock())
    assert len(time.log) == 2 + 3 * (1 + 10)  # warm-up; then one untimed and ten timed calls a sample
    assert measured.samples["a"].wall_ms == pytest.approx([0.1] * 3)


def test_a_cold_sample_is_one_call_after_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SWEEP_BYTES", 64)
    time = FakeTime()
    plan = Plan(repeats=3, cache="cold")
    interleave({"a": time.contender("a", 1e-4)}, plan, time.clock())
    assert len(time.log) == 2 + 3
    assert "overwritten" in plan.describe()


def test_the_budget_ends_the_turns_but_not_before_a_median_exists() -> None:
    time = FakeTime()
    measured = interleave({"a": time.contender("a", 1.0)}, Plan(seconds=0.1, repeats=30), time.clock())
    assert len(measured.samples["a"].wall_ms) == timing.FEWEST_REPEATS
    measured = interleave({"a": time.contender("a", 1.0)}, Plan(seconds=7.5, repeats=30), time.clock())
    assert len(measured.samples["a"].wall_ms) == 8
