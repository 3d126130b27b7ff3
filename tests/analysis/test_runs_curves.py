"""Run folders read back: what is found, what a run cost, curves, histograms, CSV and pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import small_run

from sctd.analysis import curves, plot
from sctd.config import load_config
from sctd.errors import InputError
from sctd.run.read_back import Run, evaluations_of, find_runs, read_run

STEPS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ball"
    small_run(out, STEPS)
    return out


@pytest.fixture
def run(folder: Path) -> Run:
    return read_run(folder)


def test_runs_are_found_in_folders_of_folders_once(folder: Path) -> None:
    assert find_runs([folder]) == find_runs([folder.parent]) == find_runs([folder.parent, folder]) == [folder]


def test_what_is_no_run_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        find_runs([tmp_path])
    with pytest.raises(InputError, match="is no folder"):
        find_runs([tmp_path / "nothing"])
    (tmp_path / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    with pytest.raises(InputError, match="logged no iteration"):
        read_run(tmp_path)


def test_a_run_is_finished_only_with_its_last_iteration_and_asset(run: Run) -> None:
    assert run.finished
    assert not Run(run.folder, run.config, run.rows[:-1]).finished
    assert not Run(run.folder.parent, run.config, run.rows).finished


def test_evaluations_come_from_the_log(run: Run) -> None:
    logged = sum(
        json.loads(line)["evaluations"] for line in (run.folder / "log.jsonl").read_text().splitlines()
    )
    assert run.evaluations == logged
    assert 4 * 2 * STEPS <= logged <= 5 * 2 * STEPS  # two cameras


def test_evaluations_of_logs_without_them(run: Run) -> None:
    rows = [{key: value for key, value in row.items() if key != "evaluations"} for row in run.rows]
    assert Run(run.folder, run.config, rows).evaluations == 5 * 2 * STEPS
    other = load_config(prompt="a red ball", method="ism")
    assert Run(run.folder, other, rows).evaluations is None
    assert evaluations_of({"evaluations": 24.0}, other) == 24


def test_smoothing_is_a_centred_mean() -> None:
    values = np.random.default_rng(0).normal(size=50)
    smooth = curves.smoothed(values, 5)
    np.testing.assert_allclose(smooth[2:-2], np.convolve(values, np.full(5, 0.2), "valid"), atol=1e-12)
    np.testing.assert_allclose(smooth[[0, 1, -1]], [values[:3].mean(), values[:4].mean(), values[-3:].mean()])
    np.testing.assert_allclose(curves.smoothed(np.full(7, 3.0)), 3.0)


def test_curves_are_the_logged_consistencies(run: Run) -> None:
    found = curves.curves(run)
    assert [c.key for c in found] == ["self_consistency", "cross_consistency"]
    np.testing.assert_array_equal(found[0].raw, [row["self_consistency"] for row in run.rows])


def test_a_method_without_consistencies_shows_its_residual(run: Run) -> None:
    rows = [{"iteration": i, "residual": 2.0, "loss": 1.0} for i in range(3)]
    assert [c.key for c in curves.curves(Run(run.folder, run.config, rows))] == ["residual"]
    assert curves.curves(Run(run.folder, run.config, [{"iteration": 0}])) == []


def test_gcs_shows_the_losses_of_figure_1a(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"iteration": i, "L_CC": 1.0 + i, "L_CG": 2.0, "L_CP": 30.0 * i} for i in range(3)]
    rows = [{**row, "self_consistency": 1.0, "conditional_guidance": 1.0} for row in rows]
    gcs = Run(run.folder, load_config(prompt="a red ball", method="gcs"), rows)
    found = curves.curves(gcs)
    assert [c.key for c in found] == ["L_CC", "L_CG + L_CP"]
    np.testing.assert_array_equal(found[0].raw, [1, 2, 3])
    np.testing.assert_array_equal(found[1].raw, [2, 32, 62])
    shared: list[tuple[float, float]] = []
    monkeypatch.setattr(plot, "_save", lambda figure, _: shared.extend(a.get_ylim() for a in figure.axes))
    plot.plot_curves([run, gcs, run, gcs], tmp_path / "c.png")
    assert (shared[0], shared[1]) == (shared[2], shared[3])
    assert shared[0] != shared[1], "a loss is no norm"


def test_histograms_count_every_draw_in_its_place(run: Run) -> None:
    rows = [{"iteration": i, "t": t, "e": e} for i, (t, e) in enumerate([(100, 20), (484, 404), (979, 788)])]
    found = {h.key: h for h in curves.histograms(Run(run.folder, run.config, rows))}
    assert set(found) == {"t", "e", "segment"}
    assert found["segment"].edges == [20, 212, 404, 596, 788, 980]
    assert found["segment"].counts == [1, 0, 1, 0, 1]
    filled = {low: n for low, n in zip(found["t"].edges, found["t"].counts, strict=False) if n}
    assert filled == {100: 1, 480: 1, 960: 1}


def test_another_methods_steps_make_no_segments(run: Run) -> None:
    other = Run(run.folder, load_config(prompt="a red ball", method="gcs"), run.rows)
    assert "segment" not in {h.key for h in curves.histograms(other)}


def test_csv_files_hold_every_number(run: Run, tmp_path: Path) -> None:
    curves.write_curves(tmp_path / "c.csv", curves.curves(run))
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert len(rows) == 2 * STEPS
    assert [float(r["value"]) for r in rows[:STEPS]] == [r["self_consistency"] for r in run.rows]
    assert {(r["run"], r["method"], r["seed"]) for r in rows} == {("ball", "sctd", "7")}
    curves.write_histograms(tmp_path / "h.csv", curves.histograms(run))
    counted = [
        int(r["count"])
        for r in csv.DictReader((tmp_path / "h.csv").read_text().splitlines())
        if r["histogram"] == "t"
    ]
    assert sum(counted) == STEPS


def test_pictures_are_drawn(run: Run, tmp_path: Path) -> None:
    plot.plot_curves([run, run, run], tmp_path / "c.png", columns=2)
    plot.plot_histograms([run], tmp_path / "h.png")
    for name, at_least in (("c.png", 600), ("h.png", 250)):
        with Image.open(tmp_path / name) as image:
            assert image.height > at_least
            colors = {color for _, color in image.convert("RGB").getcolors(1 << 20) or []}
        assert (27, 108, 168) in colors, name  # the first curve's own colour
