"""`sctd generate --method X` for every method, from the command line to the asset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_outcome import Outcome

from sctd import methods
from sctd.prior import load_prior
from sctd.prior.base import Prior

Command = Callable[..., Outcome]

STEPS, BATCH = 3, 2
SHORT = [
    *("--steps", str(STEPS), "--set", f"cameras.batch={BATCH}", "--set", "gaussians.count=100"),
    *("--set", "output.turntable_frames=0", "--set", "output.contact_views=2", "--set", "output.size=32"),
]
# Images an iteration for each camera; neg is '' with these priors, which saves evaluations. docs/algorithm.md
COST = {"sctd": {4, 5}, "sds": {2}, "csd": {2}, "cds": {4}, "ism": {3, 4, 5, 6, 7, 8}, "gcs": {7}}


@pytest.fixture(scope="module")
def embedded() -> Prior:
    """The real one, its weights read once for all methods."""
    return load_prior("embedded")


@pytest.fixture
def loaded_once(embedded: Prior, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the loaded priors."""
    asked: list[str] = []

    def load(spec: object, *arguments: Any) -> Prior:
        asked.append(str(spec))
        return embedded

    monkeypatch.setattr("sctd.prior.load_prior", load)
    return asked


def check(done: Outcome, run: Path, method: str) -> None:
    assert done.code == 0, done.err
    assert (run / "asset.ply").stat().st_size > 1000
    assert f"method: {method}\n" in (run / "config.yaml").read_text()
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(rows) == STEPS
    for row in rows:
        assert "offender" not in row, row
        assert row["loss"] > 0
        assert row["evaluations"] / BATCH in COST[method]


@pytest.mark.parametrize("method", methods.BUILT)
def test_a_short_run_with_the_embedded_prior(
    sctd: Command, here: Path, loaded_once: list[str], method: str
) -> None:
    done = sctd("generate", "a red mushroom", "--method", method, "--out", "run", *SHORT)
    check(done, here / "run", method)
    assert loaded_once == ["embedded"]


@pytest.mark.parametrize("method", methods.BUILT)
def test_a_short_run_with_the_analytic_prior(sctd: Command, here: Path, method: str) -> None:
    done = sctd("generate", "a red ball", "--prior", "analytic", "--method", method, "--out", "run", *SHORT)
    check(done, here / "run", method)


def test_the_pixel_term_runs_with_the_embedded_prior(
    sctd: Command, here: Path, loaded_once: list[str]
) -> None:
    done = sctd("generate", "a red mushroom", "--set", "sctd.cp_weight=0.1", "--out", "run", *SHORT)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (here / "run" / "log.jsonl").read_text().splitlines()]
    assert all(row["pixel_constraint"] > 0 and row["evaluations"] / BATCH in {6, 7} for row in rows)


def test_a_word_that_the_analytic_prior_does_not_know(sctd: Command, here: Path) -> None:
    done = sctd("generate", "a bagel", "--prior", "analytic", "--out", "run", *SHORT)
    assert (done.code, done.out) == (2, "")
    assert "has none of the words ball, blue" in done.err.splitlines()[-1]
    assert not (here / "run").exists()
