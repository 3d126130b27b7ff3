"""Intervals over prompts and seeds: against theory where there is one, and what is called a difference."""

from __future__ import annotations

import numpy as np
import pytest

from sctd.evaluate.intervals import estimate
from sctd.evaluate.report import METRICS, Report, Row, verdict


def groups(prompts: int, seeds: int, between: float, within: float, seed: int = 0) -> dict[str, list[float]]:
    random = np.random.default_rng(seed)
    return {
        f"p{i}": list(between * random.normal() + within * random.normal(size=seeds)) for i in range(prompts)
    }


def test_one_seed_each_gives_the_standard_error_of_the_mean() -> None:
    data = groups(100, 1, 1.0, 0.0)
    found = estimate(data)
    values = np.concatenate(list(data.values()))
    error = values.std() / 10
    assert found.mean == pytest.approx(values.mean())
    # 4000 draws know a 2.5 % quantile to about 4 %; a normal distribution to about 2 % at n = 100
    assert (found.high or 0) - found.mean == pytest.approx(1.96 * error, rel=0.1)
    assert found.mean - (found.low or 0) == pytest.approx(1.96 * error, rel=0.1)


def test_seeds_of_one_prompt_do_not_count_as_prompts() -> None:
    """300 equal seeds of 6 prompts know no more than the 6."""
    few = {f"p{i}": [float(i)] for i in range(6)}
    many = {name: values * 50 for name, values in few.items()}
    one, other = estimate(few), estimate(many)
    assert (one.mean, one.prompts, other.values) == (2.5, 6, 300)
    assert (other.low, other.high) == (pytest.approx(one.low, abs=0.2), pytest.approx(one.high, abs=0.2))


def test_the_spread_of_seeds_widens_the_interval() -> None:
    calm, noisy = ({k: [0.0, s] for k in "abcdef"} for s in (0.0, 4.0))
    assert estimate(calm).low == estimate(calm).high == 0
    low, high = estimate(noisy).low, estimate(noisy).high
    assert low is not None
    assert high is not None
    assert low < 1.5 < 2.5 < high


def test_prompts_with_more_seeds_weigh_no_more() -> None:
    assert estimate({"a": [0.0] * 9, "b": [1.0]}).mean == 0.5


def test_the_same_numbers_give_the_same_interval() -> None:
    data = groups(7, 3, 1.0, 0.5)
    assert estimate(data) == estimate(data)


def test_a_single_number_has_no_interval() -> None:
    found = estimate({"a": [2.0]})
    assert (found.low, found.high, found.sign()) == (None, None, None)
    assert found.text(1) == "2.0"


def rows(method: str, shift: float, prompts: int = 8, metric: str = "iou") -> list[Row]:
    return [
        Row("f", method, f"p{p}", seed, {metric: 0.1 * p + 0.01 * seed + shift}, 1, 1, 1.0)
        for p in range(prompts)
        for seed in range(2)
    ]


def test_differences_are_paired_by_prompt_and_seed() -> None:
    """Prompts differ by far more than the methods do; only pairs can see it."""
    report = Report(rows("sctd", 0.0) + rows("other", 0.002))
    found = report.differences("sctd")["other"]["iou"]
    assert found.mean == pytest.approx(0.002)
    assert found.text(4) == "0.0020 [0.0020, 0.0020]"
    assert verdict("iou", found, "sctd") == "sctd is worse"
    own = report.summary()["sctd"]["iou"]
    assert (own.high or 0) - (own.low or 0) > 0.2


@pytest.mark.parametrize(("metric", "says"), [("iou", "sctd is better"), ("janus", "sctd is worse")])
def test_low_is_good_for_some(metric: str, says: str) -> None:
    assert METRICS["janus"].higher_is_better is False
    report = Report(rows("sctd", 0.0, metric=metric) + rows("other", -0.1, metric=metric))
    assert verdict(metric, report.differences("sctd")["other"][metric], "sctd") == says


def test_some_are_neither_good_nor_bad() -> None:
    report = Report(rows("sctd", 0.0, metric="chroma") + rows("other", 0.1, metric="chroma"))
    assert verdict("chroma", report.differences("sctd")["other"]["chroma"], "sctd") == "sctd is lower"
    assert "is good" not in report.text()


def test_nothing_is_called_a_difference_without_evidence() -> None:
    few = Report(rows("sctd", 0.0, 4) + rows("other", 0.1, 4)).differences("sctd")["other"]["iou"]
    assert verdict("iou", few, "sctd") == "too few prompts to tell"
    scattered = estimate({f"p{i}": [(-1.0) ** i] for i in range(10)})
    assert verdict("iou", scattered, "sctd") == "no difference seen"


def test_the_table_and_json_hold_every_method() -> None:
    report = Report(rows("sctd", 0.0) + rows("other", 0.1), missing=["a cube"])
    text = report.text()
    assert text.splitlines()[0].split() == ["method", "prompts", "runs", "iou"]
    assert "0.355 [" in text
    data = report.as_json()
    assert data["summary"]["other"]["iou"]["mean"] == pytest.approx(0.455)
    assert len(data["runs"]) == 32
    assert data["missing"] == ["a cube"]
