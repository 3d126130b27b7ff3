"""`sctd bench raster` end to end on tiny cells; what is wrong is not timed; the emulation gives counts."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sctd.bench import memory, peers, raster, report
from sctd.bench.check import Job, agreement, make_truth
from sctd.bench.pairs import count_pairs
from sctd.bench.peaks import Peaks
from sctd.bench.raster import WORK, roofline
from sctd.bench.timing import MOST_SAMPLES, Measured, Samples
from sctd.bench.workload import LEAVES, Cell, make_workload

TINY = ("--cells", "60@16", "--cameras", "2", "--seconds", "0.05", "--repeats", "3", "--no-memory")


def test_a_tiny_cell(bench: Callable[..., Any], tmp_path: Path) -> None:
    shown = bench("raster", *TINY, "--against", "reference", "--threads", "1", "--json", "out/a.json")
    assert shown.code == 0, shown.err
    for word in ("60@16", "reference", "forward+backward", "device class cpu", "measured by torch", "warm"):
        assert word in shown.out
    assert "checking reference" in shown.err  # progress is not part of the result
    rows = report.load(tmp_path / "out" / "a.json")
    assert [(r.provider, r.measure) for r in rows] == [
        (provider, measure) for provider in ("sctd", "reference") for measure in WORK
    ]
    for row in rows:
        assert (row.status, row.device_class) == ("ok", "cpu")
        # Three turns; in each, a contender that is much faster than the other gets more than one sample.
        assert 3 <= len(row.wall_ms) == len(row.cpu_ms) <= 3 * MOST_SAMPLES
        assert min(row.wall_ms) > 0
        assert row.values["image_error"] <= row.values["image_allowed"] == 1e-5
        assert row.values["gradient_error"] <= row.values["gradient_allowed"] == 1e-4
        assert row.values["pairs_per_s"] > 0
        assert row.settings["torch_threads"] == row.settings["native_threads"] == 1
    assert bench("compare", "out/a.json", "out/a.json").code == 0


def test_times_are_those_of_one_image(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call renders both cameras."""
    monkeypatch.setattr(raster, "interleave", lambda *_: Measured({"sctd": Samples([8.0], [6.0])}, None))
    assert bench("raster", *TINY, "--json", "a.json").code == 0
    for row in report.load(tmp_path / "a.json"):
        assert (row.wall_ms, row.cpu_ms) == ([4.0], [3.0])
        assert row.values["pairs_per_s"] == pytest.approx(row.values["pairs_per_image"] / 4e-3)


def wrong(scene: peers.Scene) -> torch.Tensor:
    """The picture is right to the last bit, its gradient is 1% too large."""
    scale = {name: scene[name] * 1.01 + scene[name].detach() * -0.01 for name in LEAVES}
    return peers._ours({**scene, **scale}, "cpu")


@pytest.mark.parametrize("kind", ["image", "gradient", "nan"])
def test_a_wrong_kernel_is_not_timed(
    kind: str, bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renders = {
        "image": lambda scene: peers._ours(scene, "cpu") + 2e-5,
        "gradient": wrong,
        "nan": lambda scene: peers._ours(scene, "cpu") * float("nan"),
    }
    broken = dataclasses.replace(peers.reference(), render=renders[kind])
    monkeypatch.setitem(peers.PEERS, "reference", lambda: broken)
    shown = bench("raster", *TINY, "--against", "reference", "--json", "a.json")
    assert shown.code == 1
    assert "error: reference is wrong and was not timed in 60@16" in shown.err
    rows = {(r.provider, r.measure): r for r in report.load(tmp_path / "a.json")}
    for measure in WORK:
        row = rows["reference", measure]
        assert (row.status, row.wall_ms, row.cpu_ms) == ("wrong", [], [])
        assert ("gradient error" if kind == "gradient" else "image error") in row.note
        assert rows["sctd", measure].wall_ms


def test_a_peer_that_fails_is_a_finding(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scene: peers.Scene) -> torch.Tensor:
        raise RuntimeError("not enough memory:\n you tried to allocate much")

    broken = dataclasses.replace(peers.reference(), render=fail)
    monkeypatch.setitem(peers.PEERS, "reference", lambda: broken)
    shown = bench("raster", *TINY, "--against", "reference", "--json", "a.json")
    assert shown.code == 0
    assert "60@16 reference: failed: RuntimeError: not enough memory: you tried" in shown.out
    assert [r.status for r in report.load(tmp_path / "a.json")] == ["ok", "ok", "failed", "failed"]


def test_too_large_for_the_reference_is_skipped(bench: Callable[..., Any], monkeypatch: Any) -> None:
    small = dataclasses.replace(peers.reference(), most_products=100)
    monkeypatch.setitem(peers.PEERS, "reference", lambda: small)
    shown = bench("raster", *TINY, "--against", "reference")
    assert shown.code == 0
    assert "60@16 reference: skipped" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "gsplat"), "pip install gsplat==1.5.3"),
        (("--against", "opensplat"), "--against knows gsplat, reference"),
        (("--against", "reference,reference"), "names something twice"),
        (("--backend", "reference", "--against", "reference"), "names something twice"),
        (("--backend", "tpu"), "--backend is one of cpu, reference, cuda-simt"),
        (("--cells", "much"), "--cells takes GAUSSIANS@PIXELS"),
        (("--cache", "hot"), "--cache must be warm or cold"),
        (("--plot", "a.jpg"), "must end in .png"),
        (("--plot", "a.png"), "matplotlib"),
        (("--json", "."), "is a folder"),
        (("--cameras", "0"), "--cameras"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    message: str,
    bench: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    absent = ("gsplat", "matplotlib")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in absent else found(name, *rest)
    )
    refused = bench("raster", *TINY, *arguments)
    assert (refused.code, refused.out) == (2, "")
    lines = refused.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_a_peer_is_refused(bench: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(peers.metadata, "version", lambda name: "9.9")
    refused = bench("raster", "--against", "gsplat")
    assert refused.code == 2
    assert "compared in version 1.5.3, 9.9 is installed" in refused.err


def test_gsplat_computes_the_same() -> None:
    pytest.importorskip("gsplat", reason="the peer is not installed: pip install gsplat==1.5.3")
    scene = make_workload(400, 40, cameras=2)
    truth = make_truth(scene, count_pairs(scene))
    gsplat = peers.peer("gsplat")
    found = agreement(Job(gsplat, scene, truth.weights), truth)
    assert found.fault(gsplat.tolerance) is None, found


@pytest.mark.parametrize(
    ("backend", "counted"),
    [("cuda-simt", "forward_items"), ("cuda-ptx", "blend_forward_kernel<3> instructions")],
)
def test_simulated_kernels_give_counts_and_no_times(
    backend: str, counted: str, bench: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("simt_module" if backend == "cuda-simt" else "cuda_ptx")
    shown = bench("raster", *TINY, "--backend", backend, "--json", "a.json")
    assert shown.code == 0, shown.err
    assert counted in shown.out
    assert "there are no times" in shown.out
    assert " ms" not in shown.out
    (row,) = report.load(tmp_path / "a.json")
    assert (row.device_class, row.wall_ms, row.cpu_ms) == ("simulated", [], [])
    assert row.values[counted] > 0
    assert "wall" not in json.dumps(row.values)
    bench("raster", *TINY, "--json", "b.json")
    refused = bench("compare", "a.json", "b.json")
    assert refused.code == 2
    assert "simulated" in refused.err


def test_the_roofline_is_arithmetic() -> None:
    peaks = Peaks(exp_per_s=1e9, fma_per_s=1e10, bytes_per_s=1e9)
    found = roofline(1e6, Cell(1000, 100), WORK["forward"], peaks, 10.0)  # 1e8 pairs a second
    assert found["pairs_per_s"] == pytest.approx(1e8)
    assert found["exp_share"] == pytest.approx(0.1)
    assert found["fma_share"] == pytest.approx(0.14)
    assert found["memory_share"] == pytest.approx(4 * (14 * 1000 + 4 * 10_000) / 0.01 / 1e9)


def test_peak_memory_is_seen() -> None:
    memory.reset_peak()
    before = memory.peak_mb()
    torch.ones(100_000_000, dtype=torch.uint8).sum()
    assert memory.peak_mb() - before > 60  # 100 MB, less what the process had free


def test_extra_memory_of_a_child(bench: Callable[..., Any], tmp_path: Path) -> None:
    arguments = [a for a in TINY if a != "--no-memory"]
    assert bench("raster", *arguments, "--json", "a.json").code == 0
    assert all(r.values["extra_mb"] is not None for r in report.load(tmp_path / "a.json"))
