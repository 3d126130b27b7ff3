"""The ops around the rasterizer: Triton in its interpreter against plain torch in float32 and in double."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from rounding import assert_rounded_alone, by_definition
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import activate, total_variation, views, watch_screen_
from sctd.ops.activation import _activate
from sctd.ops.images import _ranges, _views
from sctd.ops.screen import _watch

on_a_cpu = pytest.mark.parametrize("backend", ["triton-interpret", "triton-ptx"])
on_every_backend = pytest.mark.parametrize(
    "backend", ["triton-interpret", "triton-ptx", pytest.param("triton", marks=pytest.mark.gpu)]
)


@pytest.fixture(autouse=True)
def _triton_is_there(need: Callable[[str, bool, str], None]) -> None:
    need("triton-interpret", find_spec("triton") is not None, "run `pip install triton` (Linux)")


def device_of(backend: str) -> str:
    return "cuda" if backend == "triton" else "cpu"


def check(call: Callable[..., tuple[Tensor | None, ...]], inputs: list[Tensor], backend: str) -> None:
    """Results and gradients of a backend are those of the definition but for rounding."""

    def run(which: str, dtype: torch.dtype) -> list[Tensor]:
        leaves = [t.to(device_of(which), dtype, copy=True).requires_grad_() for t in inputs]
        out = [t for t in call(*leaves, backend=which) if t is not None]
        out[-1] = out[-1].sum(0)  # how many rows add up to it is the backend's business
        g = torch.Generator().manual_seed(7)
        seeds = [torch.randn(t.shape, generator=g).to(t) for t in out]
        torch.autograd.backward(out, seeds)
        grads = [torch.zeros_like(t) if t.grad is None else t.grad for t in leaves]
        return [t.detach().cpu() for t in (*out, *grads)]

    wanted = by_definition(lambda: run("reference", torch.float64))
    for i, (got, truth) in enumerate(zip(run(backend, torch.float32), wanted, strict=True)):
        assert_rounded_alone(got, truth, f"tensor {i}")


def images(cameras: int, height: int, width: int, channels: int) -> list[Tensor]:
    """Pictures with empty pixels, faint and opaque ones; all are faint to the last of several cameras."""
    g = torch.Generator().manual_seed(height * width)
    renders = torch.rand(cameras, height, width, channels, generator=g)
    alphas = torch.rand(cameras, height, width, 1, generator=g) ** 0.3
    alphas[torch.rand(alphas.shape, generator=g) < 0.2] = 0
    if cameras > 1:
        alphas[-1] *= 0.85
    renders[..., 3:] = alphas * (0.2 + 3 * renders[..., 3:])
    return [renders, alphas]


@on_every_backend
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 9), (2, 9, 1), (2, 37, 41)])
def test_views(size: tuple[int, int, int], channels: int, backend: str) -> None:
    def call(renders: Tensor, alphas: Tensor, backend: str) -> tuple[Tensor | None, ...]:
        return views(renders, alphas, variation=True, backend=backend)

    check(call, images(*size, channels), backend)


def test_views_are_what_they_are_called() -> None:
    renders, alphas = images(2, 8, 6, 4)
    rgb, disparity, sums = views(renders, alphas, variation=True)
    assert disparity is not None
    assert torch.equal(rgb, renders[..., :3].permute(0, 3, 1, 2))
    assert rgb.is_contiguous()
    assert sums.sum(0).tolist() == pytest.approx([float(total_variation(x)) for x in (rgb, disparity)])
    without = views(renders[..., :3], alphas)
    assert without[1] is None
    assert without[2].shape == (0, 2)


@on_a_cpu
@pytest.mark.parametrize("missing", range(3))
def test_views_without_some_gradients(missing: int, backend: str) -> None:
    found = []
    for which in (backend, "reference"):
        leaves = [t.clone().requires_grad_() for t in images(2, 11, 7, 4)]
        rgb, disparity, sums = views(*leaves, variation=missing != 2, backend=which)
        assert disparity is not None
        parts = [rgb.square().sum(), disparity.square().sum(), 30 * sums.sum()]
        del parts[missing]
        sum(parts).backward()  # type: ignore[union-attr]
        found.append([leaf.grad for leaf in leaves])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_disparity_shows_the_surface_between_its_farthest_and_nearest_point() -> None:
    """Five pixels: surfaces at depths 2, 4 and 5, one that is half there, nothing."""
    depths, alphas = torch.tensor([2.0, 4.0, 5.0, 3.0, 7.0]), torch.tensor([1.0, 1.0, 0.95, 0.5, 0.0])
    renders = torch.zeros(2, 1, 5, 4)
    renders[..., 3] = depths * alphas
    faint = torch.stack([alphas, 0.8 * alphas])[:, None, :, None]
    renders[1] *= 0.8
    pictures = views(renders, faint)[1]
    assert pictures is not None
    # 1 / (weighted depth + 10 (1 - alpha)): 1/2, 1/4, 1/5.25 = low, 1/6.5 below it, 1/10 below it
    low = 1 / 5.25
    wanted = [1.0, (1 / 4 - low) / (1 / 2 - low), 0.0, 0.0, 0.0]
    assert pictures[0].flatten().tolist() == pytest.approx(wanted, abs=1e-4)
    # nothing is opaque: the background is the lowest, and what is half there can be seen
    of_faint = [1 / 3.6, 1 / 5.2, 1 / 6.2, 1 / 7.2, 1 / 10]
    wanted = [(d - 0.1) / (1 / 3.6 - 0.1) for d in of_faint]
    assert pictures[1].flatten().tolist() == pytest.approx(wanted, abs=1e-4)
    nothing = views(torch.zeros(1, 3, 3, 4), torch.zeros(1, 3, 3, 1))[1]
    assert nothing is not None
    assert not nothing.any()


@pytest.mark.parametrize("backend", ["triton-interpret", "triton-ptx", "reference"])
def test_the_range_is_constant_for_the_gradient(backend: str) -> None:
    """And what is darker than the farthest surface has none."""
    renders, alphas = (t.requires_grad_() for t in images(1, 9, 8, 4))
    pictures = views(renders, alphas, backend=backend)[1]
    assert pictures is not None
    pictures.sum().backward()
    depth, alpha = renders.detach()[..., 3].double(), alphas.detach()[..., 0].double()
    d = 1 / (depth + 10 * (1 - alpha) + 1e-5)
    low, high = d[alpha >= 0.9].min(), d.max()
    assert (d < low).sum() > 2
    wanted = torch.where(d < low, 0.0, -d.square() / (high - low))
    assert renders.grad is not None
    assert alphas.grad is not None
    torch.testing.assert_close(renders.grad[..., 3].double(), wanted, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(alphas.grad[..., 0].double(), -10 * wanted, rtol=1e-5, atol=1e-7)
    assert not renders.grad[..., :3].any()


def gaussians(n: int, higher: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(n)
    shapes = ((n, 3), (n,), (n, 1, 3), (n, higher, 3))
    return [torch.randn(shape, generator=g) for shape in shapes]


@on_every_backend
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("higher", [0, 3, 15])
def test_activate(higher: int, noisy: bool, backend: str) -> None:
    inputs = gaussians(701, higher)
    noise = 1 + 0.8 * torch.randn(701, 3, generator=torch.Generator().manual_seed(3))
    assert (noise < 1e-3).any()

    def call(*leaves: Tensor, backend: str) -> tuple[Tensor, ...]:
        return activate(*leaves, noise.to(leaves[0]) if noisy else None, backend=backend)

    if higher == 0:  # nothing to differentiate by: its gradient stays away on one side, is empty on the other
        empty = inputs.pop()
        check(lambda *x, backend: call(*x, empty.to(x[0]), backend=backend), inputs, backend)
    else:
        check(call, inputs, backend)


@on_a_cpu
@pytest.mark.parametrize("missing", range(4))
def test_activate_without_some_gradients(missing: int, backend: str) -> None:
    found = []
    for which in (backend, "reference"):
        leaves = [t.clone().requires_grad_() for t in gaussians(90, 3)]
        parts = [out.square().sum() for out in activate(*leaves, backend=which)[:3]]
        parts.append(activate(*leaves, backend=which)[3].sum())
        del parts[missing]
        sum(parts).backward()  # type: ignore[union-attr]
        found.append([torch.zeros_like(t) if t.grad is None else t.grad for t in leaves])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@on_every_backend
@pytest.mark.parametrize("cameras", [1, 3])
def test_watch_screen(cameras: int, backend: str) -> None:
    g, n = torch.Generator().manual_seed(2), 1500
    kept = [torch.rand(n, generator=g) for _ in range(3)]
    gradient = torch.randn(cameras, n, 2, generator=g)
    radii = torch.randint(-3, 9, (cameras, n, 2), generator=g).clamp_min(0).int()

    def run(which: str, dtype: torch.dtype) -> list[Tensor]:
        device = device_of(which)
        mine = [t.to(device, dtype, copy=True) for t in kept]
        for _ in range(2):
            watch_screen_(*mine, gradient.to(device, dtype), radii.to(device), (64, 48), backend=which)
        return [t.cpu() for t in mine]

    wanted = by_definition(lambda: run("reference", torch.float64))
    for got, truth in zip(run(backend, torch.float32), wanted, strict=True):
        assert_rounded_alone(got, truth)
    seen = (radii > 0).any(-1).sum(0)
    assert torch.equal((wanted[1].exact - kept[1]).round().int(), 2 * seen)


@pytest.mark.parametrize("backend", ["triton-interpret", "triton-ptx", "reference"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_step_is_not_watched(bad: float, backend: str) -> None:
    kept = [torch.zeros(4) for _ in range(3)]
    arguments: tuple[Any, ...] = (*kept, torch.ones(1, 4, 2), torch.ones(1, 4, 2, dtype=torch.int32), (8, 8))
    watch_screen_(*arguments, norms=torch.tensor([1.0, bad], dtype=torch.float64), backend=backend)
    assert not any(t.any() for t in kept)
    watch_screen_(*arguments, norms=torch.tensor([1.0, 2.0], dtype=torch.float64), backend=backend)
    assert all(t.all() for t in kept)


def test_opcheck() -> None:
    renders, alphas = (t.requires_grad_() for t in images(1, 5, 3, 4))
    ranges = torch.tensor([[0.2, 0.3]])
    torch.library.opcheck(_ranges, (renders.detach(), alphas.detach()))
    torch.library.opcheck(_views, (renders, alphas, ranges, True))
    leaves = [t.requires_grad_() for t in gaussians(6, 3)]
    torch.library.opcheck(_activate, (*leaves, None))
    kept = [torch.zeros(4) for _ in range(3)]
    radii = torch.ones(1, 4, 2, dtype=torch.int32)
    torch.library.opcheck(_watch, (*kept, torch.ones(1, 4, 2), radii, None, 4.0, 3.0))


def test_gradients() -> None:
    renders, alphas = (t.double().requires_grad_() for t in images(1, 3, 4, 3))
    assert torch.autograd.gradcheck(lambda r, a: views(r, a, variation=True)[::2], (renders, alphas))
    leaves = [t.double().requires_grad_() for t in gaussians(3, 3)]
    assert torch.autograd.gradcheck(lambda *x: activate(*x), leaves)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: views(torch.zeros(1, 2, 2, 5), torch.zeros(1, 2, 2, 1)), "renders must have shape"),
        (lambda: views(torch.zeros(1, 2, 2, 4), torch.zeros(1, 2, 3, 1)), "alphas must have shape"),
        (lambda: activate(*gaussians(3, 3)[:3], torch.zeros(3, 3)), r"shN must have shape \[3, K - 1, 3\]"),
        (lambda: activate(*gaussians(3, 3), torch.zeros(2, 3)), "noise must have shape"),
        (
            lambda: watch_screen_(*[torch.zeros(4)] * 3, torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), (8, 8)),
            "radii must be int32",
        ),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
