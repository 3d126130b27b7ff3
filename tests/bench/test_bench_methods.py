"""The comparison of all methods: what it plans, what it counts, and how it goes on from an earlier file."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks import methods
from benchmarks.pages.methods import GAP, TITLE, titled
from sctd.batch.folder import create
from sctd.batch.manifest import Manifest
from sctd.config import load_config
from sctd.errors import InputError
from sctd.evaluate.report import Row

NAMES, TEXTS = ("sctd", "sds"), ("a red ball", "a blue box")
COMMAND = {"prompts": list(TEXTS), "seeds": 2, "evaluations": 50, "settings": [], "published": False}


def row(method: str, prompt: str, seed: int) -> Row:
    return Row("runs/x", method, prompt, seed, {"kind": 1.0}, 10, 50, None)


def test_runs_are_planned_seed_by_seed() -> None:
    base = load_config("embedded", prompt=TEXTS[0])
    entries = methods.plan(base, NAMES, TEXTS, 2, {"sctd": 5, "sds": 9})
    assert [e.name for e in entries][:5] == [
        "a-red-ball-sctd-seed0",
        "a-red-ball-sds-seed0",
        "a-blue-box-sctd-seed0",
        "a-blue-box-sds-seed0",
        "a-red-ball-sctd-seed1",
    ]
    assert len(entries) == len({e.name for e in entries}) == 8
    assert {(e.config.method, e.config.iterations) for e in entries} == {("sctd", 5), ("sds", 9)}
    assert {(e.config.prompt, e.config.seed) for e in entries} == {(t, s) for t in TEXTS for s in (0, 1)}


def test_the_baselines_can_be_as_published() -> None:
    names = ("sctd", "cds", "gcs")
    tuned = load_config("embedded", prompt="x")
    got = load_config("embedded", None, methods.as_published(names), prompt="x")
    published = load_config("sd21", prompt="x")
    assert (got.cds, got.gcs, got.sctd, got.ism) == (published.cds, published.gcs, tuned.sctd, tuned.ism)
    assert got.cds != tuned.cds
    assert got.gcs != tuned.gcs


def test_methods_are_judged_on_the_same_prompts_and_seeds() -> None:
    """What a method has not come to is left out for all; where it failed the others still count."""
    rows = [row("sctd", t, s) for t in TEXTS for s in (0, 1)] + [row("sds", TEXTS[0], 0)]
    failed = {methods.run_name(TEXTS[1], "sds", 0): "no memory"}
    counted = methods.compared(rows, NAMES, failed)
    assert [(r.method, r.prompt, r.seed) for r in counted] == [
        ("sctd", TEXTS[0], 0),
        ("sctd", TEXTS[1], 0),
        ("sds", TEXTS[0], 0),
    ]


def test_an_earlier_file_is_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    rows = [row("sctd", TEXTS[0], 0)]
    results = {"command": COMMAND, "runs": [vars(r) for r in rows], "commits": ["abc"]}
    path.write_text(json.dumps(results))
    assert methods.known(path, COMMAND) == (rows, ["abc"])
    assert methods.known(path, {**COMMAND, "seeds": 3}) == (rows, ["abc"])
    assert methods.known(None, COMMAND) == ([], [])
    with pytest.raises(InputError, match="other --evaluations, --published or --set"):
        methods.known(path, {**COMMAND, "evaluations": 51})
    with pytest.raises(InputError, match="other --evaluations, --published or --set"):
        methods.known(path, {**COMMAND, "published": True})
    path.write_text("{}")
    with pytest.raises(InputError, match=r"no results\.json of this benchmark"):
        methods.known(path, COMMAND)


def test_a_stopped_call_goes_on_though_its_page_has_its_first_runs(tmp_path: Path) -> None:
    """The file that --add names may be the page's own, with runs of the folder in it: those stay its runs."""
    base = load_config("embedded", prompt=TEXTS[0])
    entries = methods.plan(base, NAMES, TEXTS, 2, {"sctd": 5, "sds": 9})
    first = [row(m, t, 0) for m in NAMES for t in TEXTS]
    second = [row(m, TEXTS[0], 1) for m in NAMES]
    rest = methods.missing(entries, first, tmp_path)
    assert [e.name for e in rest] == [e.name for e in entries[4:]]
    create(tmp_path, rest)
    assert methods.missing(entries, [*first, *second], tmp_path) == rest
    assert methods.missing(entries, [*first, *second], tmp_path / "another") == entries[6:]


def test_the_runs_are_made(tmp_path: Path) -> None:
    small = ("prior=analytic", "cameras.size=16", "gaussians.count=20", "output.contact_views=0")
    base = load_config("embedded", None, (*small, "output.turntable_frames=0"), prompt=TEXTS[0])
    methods.make(methods.plan(base, NAMES, TEXTS[:1], 1, {"sctd": 1, "sds": 1}), tmp_path / "out", 2)
    with closing(Manifest(tmp_path / "out")) as manifest:
        assert [asset.state for asset in manifest.assets()] == ["done", "done"]


def test_the_picture_has_every_run_under_its_title() -> None:
    shades = np.linspace(0.1, 0.9, 6, dtype=np.float32).reshape(3, 2)
    rows = [[np.full((8, 40, 3), shade, np.float32) for shade in row] for row in shades]
    sheet = np.asarray(titled(rows, ["truth", "sds"])).astype(np.float32) / 255
    top, left = TITLE, 40 + GAP
    assert sheet.shape == (top + 3 * 8, left + 40, 3)
    for i in range(3):
        band = sheet[top + 8 * i : top + 8 * (i + 1)]
        np.testing.assert_allclose(band[:, :40], shades[i, 0], atol=1 / 255)
        np.testing.assert_allclose(band[:, left:], shades[i, 1], atol=1 / 255)
        assert (band[:, 40:left] == 1).all()
    for title in (sheet[:top, :40], sheet[:top, left:]):
        assert (title < 0.5).any()
