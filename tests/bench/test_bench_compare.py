"""Differences are told from noise, and device classes are never mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sctd.bench import report, table
from sctd.bench.compare import compare, difference
from sctd.bench.report import Row
from sctd.errors import InputError

MakeRow = Callable[..., Row]


def draws(seed: int, factor: float = 1.0, count: int = 30) -> list[float]:
    """Times with the long tail that measurements have; spread about 5%."""
    return list(factor * np.exp(0.05 * np.abs(np.random.default_rng(seed).standard_normal(count))))


def test_equal_distributions_show_no_difference() -> None:
    """At most the share of false alarms that a 95% interval allows: 20 of 200 is twice the expected 10."""
    verdicts = [difference(draws(2 * i), draws(2 * i + 1)).verdict for i in range(200)]
    assert verdicts.count("no difference seen") >= 180
    same = difference(draws(1), draws(1))
    assert (same.ratio, same.verdict) == (1.0, "no difference seen")


@pytest.mark.parametrize(("factor", "verdict"), [(1.1, "slower"), (0.9, "faster")])
def test_a_tenth_is_found(factor: float, verdict: str) -> None:
    for i in range(20):
        found = difference(draws(2 * i), draws(2 * i + 1, factor))
        assert found.verdict == verdict
        assert found.low < found.ratio < found.high
    assert difference(draws(0), draws(1, factor)) == difference(draws(0), draws(1, factor))


def test_few_repeats_give_no_verdict() -> None:
    assert difference([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]).verdict == "too few repeats"


def test_rows_are_paired_by_what_was_measured(make_row: MakeRow) -> None:
    first = [
        make_row(draws(0)),
        make_row(draws(1), cell="10k@256"),
        make_row(draws(2), settings={"cameras": 1}),
    ]
    second = [make_row(draws(3, 0.5)), make_row(draws(4), cell="10k@512")]
    found, remarks = compare(first, second)
    assert [line[0] for line in found.lines] == ["1k@128"]
    assert found.lines[0][5].endswith("] faster")
    assert remarks == ["2 rows are in the first report alone", "1 rows are in the second report alone"]
    with pytest.raises(InputError, match="share no measurement"):
        compare(first[1:2], second)


def test_another_machine_is_said(make_row: MakeRow) -> None:
    _, remarks = compare([make_row()], [make_row(machine={"cpu": "another one", "commit": "abc"})])
    assert remarks == ["cpu differs: a processor, then another one"]


def simulated(make_row: MakeRow, items: float = 7) -> Row:
    return make_row([], device_class="simulated", measure="counts", values={"items": items})


def test_device_classes_are_never_mixed(make_row: MakeRow, tmp_path: Path) -> None:
    cpu, gpu, counts = make_row(), make_row(device_class="gpu"), simulated(make_row)
    for other in (gpu, counts):
        with pytest.raises(InputError, match="say nothing about each other"):
            compare([cpu], [other])
        for mixed in (report.device_class, table.text, lambda rows: report.save(rows, tmp_path / "x.json")):
            with pytest.raises(InputError, match="never mixed"):
                mixed([cpu, other])
    assert list(tmp_path.iterdir()) == []


def test_emulated_kernels_have_no_times(make_row: MakeRow) -> None:
    with pytest.raises(ValueError, match="no times"):
        make_row([1.0], device_class="simulated")


def test_counts_are_equal_or_not(make_row: MakeRow) -> None:
    found, _ = compare([simulated(make_row)], [simulated(make_row, 8)])
    assert found.lines == [("1k@128", "items", "7", "8", "differs")]


def test_the_command(bench: Callable[..., object], make_row: MakeRow, tmp_path: Path) -> None:
    report.save([make_row(draws(0))], tmp_path / "a.json")
    report.save([make_row(draws(1, 1.1))], tmp_path / "b.json")
    shown = bench("compare", "a.json", "b.json")
    assert shown.code == 0, shown.err
    assert "] slower" in shown.out
    report.save([make_row(device_class="gpu")], tmp_path / "c.json")
    refused = bench("compare", "a.json", "c.json")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
