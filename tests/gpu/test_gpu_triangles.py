"""What only a GPU can show of the triangle ops: full size, nothing waits, other streams, what "auto" takes.

Everything else about them is in tests/ops, whose backend "cuda" runs with `pytest -m gpu` too.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sctd.bench.triangles import make_workload
from sctd.ops import triangles

gpu = pytest.mark.gpu


class Picture:
    """The sphere of ``sctd bench triangles`` with a texture; the topology is made once, as in a training."""

    def __init__(self, count: int, size: int, device: str = "cuda", backend: str = "cuda") -> None:
        work = make_workload(count, size)
        texels = torch.linspace(0, 1, 64 * 64 * 3).reshape(64, 64, 3)
        leaves = (work.clip(), work.colors, texels)
        self.leaves = [t.to(device, torch.float32, copy=True).requires_grad_() for t in leaves]
        self.mesh = triangles.topology(work.faces.to(device), len(work.screen))
        self.weight, self.size = work.weight[None].to(device, torch.float32), size
        self.backend = backend

    def __call__(self) -> list[Tensor]:
        """=> triangles, barycentrics, depth, picture; gradients of vertices, attributes and texels."""
        vertices, attributes, texels = self.leaves
        sizes, backend = (self.size, self.size), self.backend
        drawn = triangles.rasterize(vertices, self.mesh, *sizes, backend=backend)
        shaded = triangles.interpolate(attributes, vertices, self.mesh, drawn, backend=backend)
        picture = shaded * triangles.texture(texels, shaded[..., :2], backend=backend)
        picture = torch.where(drawn.covered[..., None], picture, 0.5)
        picture = triangles.edge_gradient(picture, vertices, self.mesh, drawn, backend=backend)
        gradients = torch.autograd.grad(picture, self.leaves, self.weight)
        return [drawn.triangles, drawn.barycentrics, drawn.depth, picture.detach(), *gradients]


def assert_agrees(got: list[Tensor], want: list[Tensor]) -> None:
    """What is seen bit for bit, the picture and its gradients up to the order of their sums."""
    got = [t.cpu() for t in got]
    for a, b in zip(got[:3], want[:3], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(got[3:], want[3:], strict=True):
        assert b.any()
        assert (a - b).norm() <= 1e-4 * b.norm()


@pytest.mark.usefixtures("simt_module")
def test_the_picture_agrees_under_emulation() -> None:
    """That these tests themselves are right, on a machine without a GPU."""
    assert_agrees(Picture(60, 32, "cpu", "cuda-simt")(), Picture(60, 32, "cpu", "cpu")())


@gpu
@pytest.mark.parametrize(("count", "size"), [(1_000, 128), (20_000, 512), (200_000, 1024)])
def test_full_size_agrees_with_the_cpu(count: int, size: int) -> None:
    assert_agrees(Picture(count, size)(), Picture(count, size, "cpu", "cpu")())


@gpu
def test_nothing_waits_for_the_device() -> None:
    picture = Picture(1_000, 96)
    picture()  # CUB's and the allocator's first calls are over, the topology has its lists
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            picture()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
def test_every_run_and_every_stream_gives_the_same_bits() -> None:
    picture = Picture(20_000, 512)
    want = picture()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        aside = picture()
    side.synchronize()
    for got in (picture(), aside):
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@gpu
@pytest.mark.filterwarnings("error")
def test_tensors_on_a_gpu_are_drawn_by_its_kernels() -> None:
    got, want = Picture(1_000, 64, backend="auto")(), Picture(1_000, 64)()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
