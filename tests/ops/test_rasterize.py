"""The native rasterizer against its definition: values, gradients, for every mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from raster_scenes import Scene, device_of, make_scene, on_every_backend
from rounding import Truth, assert_rounded_alone, by_definition
from tiled_reference import near_a_threshold, project
from torch import Tensor

from sctd.ops import rasterization

NAMES = (
    "renders",
    "alphas",
    "means",
    "quats",
    "scales",
    "opacities",
    "colors",
    "viewmats",
    "backgrounds",
    "means2d",
)


def run(
    scene: Scene, dtype: torch.dtype, backend: str, decided: Tensor | None = None, **options: Any
) -> dict[str, Tensor]:
    """Outputs and gradients of a loss in which every output has a random weight.

    ``decided``: the pixels [C, H, W, 1] that count, all unless given.
    """
    s, device = scene.to(dtype, backend), device_of(backend)
    background = None
    if options.get("render_mode", "RGB").startswith("RGB"):
        channels = 3 if "sh_degree" in options else s.colors.shape[-1]
        background = torch.linspace(0.1, 0.9, s.viewmats.shape[0] * channels).reshape(-1, channels)
        background = background.to(device, dtype, copy=True).requires_grad_()
    renders, alphas, meta = rasterization(*s, backgrounds=background, backend=backend, **options)
    meta["means2d"].retain_grad()
    if decided is not None:
        renders, alphas = (t.masked_fill(~decided.to(device), 0) for t in (renders, alphas))
    g = torch.Generator().manual_seed(5)
    weights = (torch.randn(t.shape, generator=g, dtype=torch.float64) for t in (renders, alphas))
    loss = sum((t * w.to(device, dtype)).sum() for t, w in zip((renders, alphas), weights, strict=True))
    loss.backward()
    inputs = [*s[:6], background]
    grads = [None if t is None else t.grad for t in inputs]
    values = [renders.detach(), alphas.detach(), *grads, meta["means2d"].grad]
    return {name: v.cpu() for name, v in zip(NAMES, values, strict=True) if v is not None}


class Case(NamedTuple):
    """A scene by its definition, for every backend."""

    decided: Tensor
    truths: list[Truth]


_CASES: dict[str, Case] = {}


def case_of(scene: Scene, **options: Any) -> Case:
    """By the definition, computed once a scene."""
    key = repr(([t.tolist() for t in scene[:7]], scene[7:], sorted(options.items())))
    if key not in _CASES:
        # Where float32 may decide otherwise than double, whoever computes, the comparison says nothing.
        p = project(scene, None, options.get("rasterize_mode", "classic"))
        near = near_a_threshold(p, scene.width, scene.height)[..., None]
        assert near.double().mean() < 0.02
        truths = by_definition(lambda: [*run(scene, torch.float64, "reference", ~near, **options).values()])
        _CASES[key] = Case(~near, truths)
    return _CASES[key]


def compare(scene: Scene, backend: str, **options: Any) -> None:
    """The tolerance rule for every output and gradient."""
    decided, truths = case_of(scene, **options)
    got = run(scene, torch.float32, backend, decided, **options)
    for (name, value), truth in zip(got.items(), truths, strict=True):
        assert truth.exact.any(), f"{name} is zero: the comparison says nothing"
        assert_rounded_alone(value, truth, name)
    if backend == "cpu":
        double = run(scene, torch.float64, "cpu", decided, **options)
        for (name, value), truth in zip(double.items(), truths, strict=True):
            tolerance = 2e-11 * truth.exact.abs().max().item()
            torch.testing.assert_close(value, truth.exact, rtol=0, atol=tolerance, msg=name)


# 1x1: missing reductions; 17x23: no multiple of any tile or vector; 64x64: the size used in training.
@on_every_backend
@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 23), (64, 64)])
def test_sizes(width: int, height: int, backend: str) -> None:
    compare(make_scene(60, width, height, size=0.2), backend)


@on_every_backend
@pytest.mark.parametrize("mode", ["RGB", "RGB+D"])
@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
def test_modes(mode: str, rasterize_mode: str, backend: str) -> None:
    compare(make_scene(100, 35, 41, seed=1), backend, render_mode=mode, rasterize_mode=rasterize_mode)


@pytest.mark.parametrize("mode", ["D", "ED", "RGB+ED"])
def test_depth_modes(mode: str) -> None:
    scene = make_scene(150, 30, 29, seed=2, size=0.3)  # large enough to cover: alpha is nowhere nearly zero
    s, d = scene.to(torch.float64), scene.to(torch.float64)
    for side in (s, d):
        side.colors.requires_grad_(mode.startswith("RGB"))
    got, alpha, _ = rasterization(*s, render_mode=mode)
    want, want_alpha, _ = rasterization(*d, render_mode=mode, backend="reference")
    assert got.shape[-1] == (4 if mode.startswith("RGB") else 1)
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(alpha, want_alpha, rtol=1e-12, atol=1e-12)
    weight = torch.linspace(-1, 1, got.numel(), dtype=got.dtype).reshape(got.shape)
    (got * weight).sum().backward()
    (want * weight).sum().backward()
    for a, b in zip(s[:6], d[:6], strict=True):
        if b.requires_grad:
            assert a.grad is not None
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=1e-10 * b.grad.abs().max().item())


@on_every_backend
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spherical_harmonics(degree: int, backend: str) -> None:
    compare(make_scene(80, 35, 30, seed=3, bases=16, size=0.1), backend, sh_degree=degree)


@on_every_backend
@pytest.mark.parametrize("channels", [1, 2, 4, 9, 32])
def test_channels(channels: int, backend: str) -> None:
    compare(make_scene(60, 33, 20, seed=4, channels=channels), backend)


@on_every_backend
def test_colors_of_each_camera(backend: str) -> None:
    scene = make_scene(60, 33, 20, seed=5)
    own = torch.stack([scene.colors, scene.colors.flip(0)])
    compare(scene._replace(colors=own), backend)
    harmonics = make_scene(40, 33, 20, seed=5, bases=4)
    own = torch.stack([harmonics.colors, harmonics.colors.flip(0)])
    compare(harmonics._replace(colors=own), backend, sh_degree=1)


@on_every_backend
def test_pixels_that_stop_early(backend: str) -> None:
    """Opaque layers: most pixels fall below the transmittance limit long before their list ends."""
    scene = make_scene(400, 27, 33, seed=6, size=0.3, opacity=4.0)
    compare(scene, backend)
    _, alphas, _ = rasterization(*scene)
    assert (alphas > 0.999).double().mean() > 0.3


@on_every_backend
def test_alpha_is_capped_and_the_cap_has_no_gradient(backend: str) -> None:
    scene = make_scene(3, 21, 21, 1, seed=7, size=0.5)
    compare(scene._replace(opacities=torch.tensor([1.0, 0.9995, 0.5], dtype=torch.float64)), backend)


@pytest.mark.parametrize("seed", range(4))
def test_culling_never_changes_a_pixel(seed: int) -> None:
    """Needles, discs and tiny Gaussians over many tiles: every pixel of the definition is drawn."""
    scene = make_scene(120, 90, 75, 1, seed=10 + seed, size=0.05, spread=1.6)
    got, _, _ = rasterization(*scene, eps2d=0.02)
    want, _, _ = rasterization(*scene, eps2d=0.02, backend="reference")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


def test_meta() -> None:
    scene = make_scene(50, seed=8)
    _, _, meta = rasterization(*scene)
    _, _, want = rasterization(*scene, backend="reference")
    for name in ("means2d", "depths", "conics", "opacities"):
        torch.testing.assert_close(meta[name], want[name], rtol=1e-10, atol=1e-10, msg=name)
    assert torch.equal(meta["radii"], want["radii"])
    assert meta["radii"].dtype == torch.int32
    assert (meta["radii"] > 0).any()
    assert (meta["width"], meta["height"], meta["n_cameras"]) == (40, 33, 2)


def test_absgrad_is_the_sum_of_absolute_pixel_gradients() -> None:
    scene = make_scene(20, 12, 11, 1, seed=9, size=0.2).to(torch.float64)
    renders, _, meta = rasterization(*scene, absgrad=True)
    meta["means2d"].retain_grad()
    weight = torch.linspace(-1, 2, renders.numel(), dtype=torch.float64).reshape(renders.shape)
    (renders * weight).sum().backward(retain_graph=True)
    signed, absolute = meta["means2d"].grad.clone(), meta["means2d"].absgrad.clone()
    total, total_abs = torch.zeros_like(signed), torch.zeros_like(signed)
    for y in range(11):
        for x in range(12):
            (g,) = torch.autograd.grad(
                (renders[:, y, x] * weight[:, y, x]).sum(), meta["means2d"], retain_graph=True
            )
            total += g
            total_abs += g.abs()
    torch.testing.assert_close(signed, total, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(absolute, total_abs, rtol=1e-10, atol=1e-12)
    assert (absolute > signed.abs() * 1.01).any()
