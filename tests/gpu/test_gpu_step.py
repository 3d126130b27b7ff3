"""What only a GPU can show: nothing waits, a step in a CUDA graph, other streams and devices, full size.

Everything else about the CUDA kernels is in tests/ops, whose backend "cuda" runs with `pytest -m gpu` too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from sctd.bench.workload import make_workload
from sctd.ops import AdamGroup, adam_schedule, adam_step_, rasterization

gpu = pytest.mark.gpu
LEAVES = ("means", "quats", "scales", "opacities", "colors")
RATES = {"means": 1e-3, "quats": 1e-3, "scales": 1e-3, "opacities": 1e-2, "colors": 1e-2}
BETAS = {"beta1": 0.9, "beta2": 0.99}


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def on_device(count: int, size: int, device: str = "cuda", cameras: int = 2) -> dict[str, Any]:
    scene = make_workload(count, size, cameras)
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in scene.items()}


class Step:
    """One training step on a scene: render, loss, gradients, Adam. All it needs is there beforehand."""

    def __init__(self, scene: dict[str, Any], capacity: int, backend: str = "cuda") -> None:
        self.scene, self.capacity, self.backend = scene, capacity, backend
        for name in LEAVES:
            scene[name].requires_grad_()
        self.moments = {n: (torch.zeros_like(scene[n]), torch.zeros_like(scene[n])) for n in LEAVES}
        self.target = torch.full((), 0.5, device=scene["means"].device)
        self.schedule = self.next_schedule(1)

    def next_schedule(self, step: int) -> Tensor:
        device = self.scene["means"].device
        return adam_schedule(list(RATES.values()), step=step, grad_clip_norm=1.0, device=device, **BETAS)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """=> the loss, whether there was too little room."""
        renders, _, meta = rasterization(**self.scene, capacity=self.capacity, backend=self.backend)
        loss = (renders - self.target).square().mean()
        leaves = [self.scene[name] for name in LEAVES]
        grads = torch.autograd.grad(loss, leaves)
        groups = [
            AdamGroup(p.detach(), g, *self.moments[n]) for n, p, g in zip(LEAVES, leaves, grads, strict=True)
        ]
        visible = (meta["radii"] > 0).any(-1).any(0)
        lacking = meta["pairs_needed"] > self.capacity
        adam_step_(
            groups, self.schedule, **BETAS, eps=1e-15, visible=visible, skip=lacking, backend=self.backend
        )
        return loss.detach(), lacking

    def parameters(self) -> list[Tensor]:
        return [self.scene[name].detach().clone() for name in LEAVES]


def enough(scene: dict[str, Any], backend: str = "cuda") -> int:
    with torch.no_grad():
        return int(1.5 * rasterization(**scene, backend=backend)[2]["n_pairs"])


@pytest.mark.usefixtures("simt_module")
def test_the_step_learns_under_emulation() -> None:
    """That these tests themselves are right, on a machine without a GPU."""
    scene = on_device(200, 48, "cpu")
    step = Step(scene, enough(scene, "cuda-simt"), "cuda-simt")
    losses = []
    for i in range(8):
        step.schedule = step.next_schedule(i + 1)
        losses.append(step()[0].item())
    assert losses[-1] < 0.9 * losses[0]
    before = step.parameters()
    step.capacity = 10
    assert step()[1]
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters(), strict=True))


@gpu
def test_nothing_waits_for_the_device() -> None:
    scene = on_device(2000, 96)
    step = Step(scene, enough(scene))
    step()  # CUB's and the allocator's first calls are over
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i in range(3):
            step.schedule = step.next_schedule(i + 2)
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
@pytest.mark.usefixtures("deterministic")
def test_a_whole_step_is_captured_and_replayed_bit_for_bit() -> None:
    scene = on_device(2000, 96)
    capacity = enough(scene)
    eager, captured = (
        Step({k: v.clone() if isinstance(v, Tensor) else v for k, v in scene.items()}, capacity)
        for _ in range(2)
    )
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        captured()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, overflow = captured()
    losses = [eager()[0].item()]
    for i in range(2, 6):
        eager.schedule = eager.next_schedule(i)
        captured.schedule.copy_(captured.next_schedule(i))
        losses.append(eager()[0].item())
        graph.replay()
        assert loss.item() == losses[-1]
        assert not overflow
    assert losses[-1] < losses[0]
    for a, b in zip(captured.parameters(), eager.parameters(), strict=True):
        assert torch.equal(a, b)


@gpu
def test_too_little_room_skips_the_step() -> None:
    scene = on_device(2000, 96)
    step = Step(scene, 100)
    before = step.parameters()
    _, overflow = step()
    assert overflow
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters(), strict=True))


@gpu
@pytest.mark.usefixtures("deterministic")
def test_another_stream_gives_the_same_bits() -> None:
    scene = on_device(2000, 96)
    want, _ = gradients(scene, "cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        got, _ = gradients(scene, "cuda")
    side.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second CUDA device")
def test_a_device_that_is_not_the_current_one() -> None:
    (_, want), (_, got) = (gradients(on_device(500, 64, device), "cuda") for device in ("cuda:0", "cuda:1"))
    torch.testing.assert_close(got.cpu(), want.cpu(), rtol=0, atol=1e-6)


def gradients(scene: dict[str, Any], backend: str) -> tuple[list[Tensor], Tensor]:
    """Of a weighted sum of the pictures; and the pictures."""
    leaves = [scene[name].detach().clone().requires_grad_() for name in LEAVES]
    renders, _, _ = rasterization(**{**scene, **dict(zip(LEAVES, leaves, strict=True))}, backend=backend)
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(renders.shape, generator=g).to(renders)
    return list(torch.autograd.grad((renders * weight).sum(), leaves)), renders.detach()


@gpu
@pytest.mark.parametrize(("count", "size"), [(100_000, 512), (10_000, 256), (1_000_000, 512)])
def test_full_size_agrees_with_the_cpu(count: int, size: int) -> None:
    """At most a few pixels stand on a threshold, where the two may decide otherwise."""
    scene = make_workload(count, size, cameras=1)
    want, picture = gradients(scene, "cpu")
    got, drawn = gradients({k: v.cuda() if isinstance(v, Tensor) else v for k, v in scene.items()}, "cuda")
    off = (drawn.cpu() - picture).abs()
    assert (off > 1e-4).double().mean() < 1e-4
    assert off.max() < 0.02
    for name, a, b in zip(LEAVES, got, want, strict=True):
        error = (a.cpu() - b).square().mean().sqrt() / b.square().mean().sqrt()
        assert error < 1e-2, name


@gpu
@pytest.mark.usefixtures("deterministic")
def test_the_deterministic_mode_repeats_bit_for_bit() -> None:
    scene = on_device(100_000, 512, cameras=1)
    first, second = (gradients(scene, "cuda")[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
