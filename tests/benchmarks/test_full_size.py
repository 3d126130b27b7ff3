"""The rehearsal at full size, at a small one: the same code with tiny networks; and what it must refuse."""

from __future__ import annotations

import json
import math
import operator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_folder
from torch import nn

from benchmarks import full_size
from benchmarks.full_size import Plan, check_estimate, rehearse
from benchmarks.full_size_networks import fill, read_shapes
from benchmarks.pages.full_size import markdown
from sctd.bench.memory import give_back_mb, present_mb
from sctd.bench.stages import StageClock
from sctd.bench.work import DEVICES, Device, Operation, Work, bound
from sctd.config import load_config
from sctd.errors import SctdError

SETTINGS = (
    "cameras.size=16",
    "gaussians.count=60",
    "densify.max_count=60",
    "prior.attention=sdpa",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("full") / "tiny", sd2=True)


def plan_of(folder: Path, latents: tuple[int, ...] = (4, 8, 8)) -> Plan:
    one, four = (
        load_config("sd21", prompt="a corgi", device="cpu", overrides=(*SETTINGS, f"cameras.batch={b}"))
        for b in (1, 4)
    )
    return Plan(folder, one, four, torch.float32, latents, 1)


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return rehearse(plan_of(folder), lambda text: None)


def test_every_stage_is_counted_and_timed(found: dict[str, Any]) -> None:
    (iteration,) = found["iterations"]
    calls = [f"network, call {i}" for i in range(1, 5)]
    stages = {
        "sampling",
        "render",
        "VAE encode",
        *calls,
        "method",
        "VAE backward",
        "render backward",
        "optimiser",
    }
    assert stages <= found["work"].keys()
    assert found["work"].keys() == found["preset"].keys()
    # what the regularisers sum up, the rendering has computed
    assert iteration["wall_s"].keys() - found["work"].keys() == {"regularisers"}
    for counted in (found["work"], found["preset"]):
        for stage in ("VAE encode", *calls, "VAE backward"):
            assert counted[stage]["flops"] > 0
            assert 0 < counted[stage]["weights"] < counted[stage]["bytes"]
    assert math.isfinite(iteration["scalars"]["loss"])


def test_networks_without_numbers_count_what_real_ones_do(found: dict[str, Any]) -> None:
    """Four cameras are four times the products of one, whether numbers were there or not."""
    for stage in ("VAE encode", "VAE backward", "network, call 1", "network, call 3"):
        one, four = (found[key][stage]["flops"] for key in ("work", "preset"))
        assert four == pytest.approx(4 * one, rel=0.05), stage  # the timestep's layers have one row for all


def test_page_has_every_stage_and_each_card(found: dict[str, Any]) -> None:
    # Networks as small as these may fit into memory that the process has freed before: nothing to measure.
    memory = {**found["memory"], "peak_mb": 50.0}
    text = markdown(
        {**found, "memory": memory, "machine": full_size.facts(), "dtype": "float32", "gaussians": 60}
    )
    for word in ("VAE backward", "network, call 4", "the rest of the step", *(d.name for d in DEVICES)):
        assert f"{word} |" in text
    assert "Bounds, not timings" in text


def test_committed_page_is_that_of_the_committed_numbers() -> None:
    docs = Path(full_size.__file__).parents[1] / "docs"
    kept = json.loads((docs / "full_size.json").read_text(encoding="utf-8"))
    check_estimate(kept)
    text = markdown(kept)
    assert text == (docs / "full_size.md").read_text(encoding="utf-8")
    for device in DEVICES:  # the guide's table rounds them
        for kind in ("arithmetic", "by_operation"):
            ms = 1e3 * sum(stage["bounds_s"][device.name][kind] for stage in kept["preset"].values())
            assert f"| {ms:.0f} |" in (docs / "gpu.md").read_text(encoding="utf-8")


def test_wrong_latents_end_it(folder: Path) -> None:
    with pytest.raises(SctdError, match=r"latents: expected shape \(1, 4, 9, 9\), got \(1, 4, 8, 8\)"):
        rehearse(plan_of(folder, (4, 9, 9)), lambda text: None)


@pytest.mark.parametrize("where", ["unet.conv_out", "vae.encoder.conv_in", "text_encoder"])
def test_a_nan_weight_ends_it(folder: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*arguments: Any) -> Any:
        parts = fill(*arguments)
        next(operator.attrgetter(where)(parts).parameters()).view(-1)[0] = float("nan")
        return parts

    monkeypatch.setattr(full_size, "fill", torch.no_grad()(damaged))
    with pytest.raises(SctdError, match="finite"):
        rehearse(plan_of(folder), lambda text: None)


def test_weights_are_seeded_and_leave_numbers_near_1(folder: Path) -> None:
    first, again, other = (fill(read_shapes(folder, torch.float32), seed) for seed in (0, 0, 1))
    weight = "conv_in.weight"
    values = [parts.unet.state_dict()[weight] for parts in (first, again, other)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert values[0][0].square().sum() == pytest.approx(1, rel=0.5)


def test_estimate_off_by_more_than_the_tolerance_is_an_error() -> None:
    def memory(counted: float, lost: float) -> dict[str, Any]:
        lines = {"weights": counted, "lost between blocks (assumed)": lost, "CUDA (assumed)": 1e6}
        return {"memory": {"estimate_mb": lines, "peak_mb": 1000.0}}

    check_estimate(memory(1140.0, 5.0))
    check_estimate(memory(860.0, 100.0))
    for counted, lost in ((840.0, 100.0), (1160.0, 0.0), (1100.0, 60.0)):
        with pytest.raises(SctdError, match="more than 15% apart"):
            check_estimate(memory(counted, lost))


def test_memory_that_is_freed_is_given_back() -> None:
    kept = [bytearray(4096) for _ in range(20_000)]  # too small for pages of their own
    last = bytearray(4096)  # behind them: what is before it cannot go back by itself
    del kept
    held = present_mb()
    assert give_back_mb() == pytest.approx(held - present_mb(), abs=8)
    assert held - present_mb() > 20
    assert give_back_mb() < 8
    del last


def operations(function: Any, *weights: torch.Tensor) -> list[Operation]:
    with Work(StageClock(), weights) as work:
        function()
    return work.operations


def test_work_by_hand() -> None:
    a, b = torch.rand(3, 5), torch.rand(5, 7)
    (product,) = operations(lambda: a @ b, b)
    assert product.name == "aten.mm"
    assert product.flops == 2 * 3 * 5 * 7
    assert product.bytes == 4 * (15 + 35 + 21)
    assert product.weights == 4 * 35
    assert operations(lambda: a.view(5, 3).t()) == []
    assert operations(lambda: torch.empty_like(a)) == []
    assert [op.bytes for op in operations(lambda: torch.zeros_like(a))] == [4 * 15]
    assert [op.bytes for op in operations(lambda: a.clone().mul_(2))] == [4 * 30, 4 * 30]
    assert [op.bytes for op in operations(lambda: a[:1].expand(4, 5) + 1)] == [4 * (5 + 20)]


def test_work_counts_attention_and_convolutions_backward() -> None:
    q = torch.rand(1, 2, 64, 16, requires_grad=True)
    forward = nn.functional.scaled_dot_product_attention
    counted = operations(lambda: forward(q, q, q).sum().backward())
    assert [op.flops for op in counted if op.flops] == [4 * 2 * 64 * 64 * 16, 10 * 2 * 64 * 64 * 16]

    x, weight = torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(4, 3, 3, 3)
    head = torch.rand(1, 4, 8, 8)
    counted = operations(lambda: nn.functional.conv2d(x, weight, padding=1).backward(head), weight)
    products, moved = 2 * 4 * 3 * 9 * 64, 4 * (head.numel() + weight.numel() + x.numel())
    convolutions = [(op.flops, op.bytes) for op in counted if op.flops]
    assert convolutions == [(products, moved), (products, moved)]  # nothing for the weight's gradient


def test_bound_takes_the_larger_of_products_and_traffic() -> None:
    device = Device("one", 100.0, 10.0)
    ops = [Operation("", "a", flops=300, bytes=10, weights=0), Operation("", "b", 100, 50, 0)]
    found = bound(ops, device)
    assert (found.arithmetic, found.by_operation) == (4.0, 3.0 + 5.0)
