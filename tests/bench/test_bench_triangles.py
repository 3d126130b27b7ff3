"""`sctd bench triangles` end to end on a tiny cell; what is wrong is not timed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sctd.bench import report, triangles

TINY = ("--cells", "60@24", "--seconds", "0.05", "--repeats", "3", "--threads", "1")


def test_a_tiny_cell(bench: Callable[..., Any], tmp_path: Path) -> None:
    shown = bench("triangles", *TINY, "--against", "deodr", "--json", "out/a.json")
    assert shown.code == 0, shown.err
    rows = report.load(tmp_path / "out" / "a.json")
    assert [(r.provider, r.measure) for r in rows] == [
        (provider, measure) for measure in triangles.MEASURES for provider in ("sctd", "deodr")
    ]
    for row in rows:
        assert (row.status, row.device_class) == ("ok", "cpu")
        assert min(row.wall_ms) > 0
        assert row.values["image_error"] <= 1e-5
        # DEODR blurs the outline, which is a larger part of a small picture than of a large one.
        assert row.values["color_error"] <= (1e-4 if row.provider == "sctd" else 0.5)
        assert row.values["position_error"] <= (1e-3 if row.provider == "sctd" else 0.5)


def test_half_of_a_sphere_is_seen_and_its_outline_is_closed() -> None:
    work = triangles.make_workload(500, 64)
    front = triangles._turn(work.screen[work.faces]) > 0
    nearer = work.screen[work.faces][..., 2].mean(1) < 1.5
    assert abs(len(work.faces) - 500) < 40
    assert (front == nearer).double().mean() > 0.95
    edges = work.faces[triangles.silhouettes(work).any(1)]
    assert 10 < len(edges) < 100


def test_what_is_wrong_is_not_timed(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = triangles.ours

    def wrong(work: triangles.Workload, *rest: Any) -> triangles.Contender:
        """The picture is right, the gradient of the colours is twice as large."""
        contender = right(work, *rest)

        def result() -> triangles.Result:
            image, places, colors = contender.result()
            return image, places, (colors if rest else 2 * colors)

        return dataclasses.replace(contender, result=result)

    monkeypatch.setattr(triangles, "ours", wrong)
    assert bench("triangles", *TINY, "--json", "a.json").code == 1
    for row in report.load(tmp_path / "a.json"):
        assert (row.status, row.wall_ms) == ("wrong", [])
        assert "gradient error 1.0e+00, at most 1e-02" in row.note


def test_an_unknown_peer_is_named(bench: Callable[..., Any]) -> None:
    shown = bench("triangles", *TINY, "--against", "nvdiffrast")
    assert shown.code == 2
    assert "--against knows deodr; got 'nvdiffrast'" in shown.err
