"""Progress: plain lines without a terminal, a bar with one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sctd_cli.progress import PlainReporter, RichReporter, describe, reporter

SCALARS = {"self_consistency": 0.125, "cross_consistency": 3.0, "gaussians": 1500.0, "t": 400.0}


def test_plain_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    report = PlainReporter(every_s=5.0, clock=lambda: now)
    report.stage("optimising")
    report.start(20, 10)
    for iteration in range(11, 21):
        now += 1.0
        report.update(iteration, SCALARS)
    report.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "optimising",
        "15/20  1.0 it/s  5 s left  self 0.125  cross 3  gaussians 1500",
        "20/20  1.0 it/s  0 s left  self 0.125  cross 3  gaussians 1500",
    ]


def test_scalars_nobody_needs_are_not_shown() -> None:
    assert describe({"t": 1.0, "offender_count": 2.0}) == ""
    assert describe({"skipped": 2.0}) == "skipped 2"


def test_bar_shows_stage_count_and_losses() -> None:
    stream = io.StringIO()
    report = RichReporter(Console(file=stream, force_terminal=True, width=140))
    report.stage("loading the prior")
    report.start(20, 0)
    report.stage("optimising")
    report.update(7, SCALARS)
    report.message("a [note] in brackets")
    report.finish()
    shown = stream.getvalue()
    for expected in (
        "loading the prior",
        "optimising",
        "7/20",
        "cross 3",
        "gaussians 1500",
        "a [note] in brackets",
    ):
        assert expected in shown


def test_finish_without_start_is_fine() -> None:
    """A run that is refused never starts its bar."""
    stream = io.StringIO()
    RichReporter(Console(file=stream, force_terminal=True)).finish()
    assert "starting" not in stream.getvalue()


def test_no_terminal_means_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(reporter(), PlainReporter)
