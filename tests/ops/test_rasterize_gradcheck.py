"""Numerical gradients in double, of every input; and that the ops are well-behaved citizens of torch."""

from __future__ import annotations

import pytest
import torch
from raster_scenes import make_scene
from torch import Tensor

from sctd.ops import _raster_ops, rasterization

# Wide and faint: no pixel is near a threshold (1/255, 0.999, 1e-4), where the function jumps.
SMOOTH = {"size": 0.8, "spread": 0.2, "opacity": -0.5}


@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize("render_mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
def test_gradcheck(render_mode: str, rasterize_mode: str) -> None:
    scene = make_scene(4, 6, 5, 2, seed=1, **SMOOTH).to(torch.float64)
    with_color = render_mode.startswith("RGB")
    background = torch.rand(2, 3, dtype=torch.float64, requires_grad=True) if with_color else None

    def f(*inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        *tensors, back = inputs
        renders, alphas, _ = rasterization(
            *tensors, scene.Ks, 6, 5, backgrounds=back, render_mode=render_mode, rasterize_mode=rasterize_mode
        )
        return renders, alphas

    inputs = (*scene[:4], scene.colors if with_color else scene.colors.detach(), scene.viewmats, background)
    assert torch.autograd.gradcheck(f, inputs, eps=1e-6, atol=1e-6, rtol=1e-5), "seed 1"


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gradcheck_spherical_harmonics(degree: int) -> None:
    scene = make_scene(3, 5, 4, 2, seed=2, bases=16, **SMOOTH).to(torch.float64)

    def f(*inputs: Tensor) -> Tensor:
        return rasterization(*inputs, scene.Ks, 5, 4, sh_degree=degree)[0]

    assert torch.autograd.gradcheck(f, scene[:6], eps=1e-6, atol=1e-6, rtol=1e-5), "seed 2"


def test_gradcheck_outside_the_clamp_of_the_jacobian() -> None:
    """Beyond 1.3 times the field x/z inside the Jacobian is a constant; x itself still moves the mean."""
    scene = make_scene(6, 6, 5, 1, seed=3, **SMOOTH)
    K = scene.Ks.clone()
    K[:, 0, 0], K[:, 1, 1] = 60.0, 70.0  # a narrow field: most centres lie outside
    scene = scene._replace(Ks=K, scales=scene.scales * 0.6).to(torch.float64)

    def f(*inputs: Tensor) -> Tensor:
        return rasterization(*inputs, scene.Ks, 6, 5)[0]

    _, _, meta = rasterization(*scene)
    off = (meta["means2d"] < -6) | (meta["means2d"] > 12)
    assert (off.any(-1) & (meta["radii"][..., 0] > 0)).sum() >= 2
    assert torch.autograd.gradcheck(f, scene[:6], eps=1e-6, atol=1e-6, rtol=1e-5), "seed 3"


def test_gradcheck_of_meta() -> None:
    """Depths, conics and opacities of meta are in the graph too."""
    scene = make_scene(3, 6, 5, 2, seed=4, **SMOOTH).to(torch.float64)

    def f(*inputs: Tensor) -> tuple[Tensor, ...]:
        meta = rasterization(*inputs, scene.colors.detach(), scene.viewmats.detach(), scene.Ks, 6, 5)[2]
        return meta["means2d"], meta["depths"], meta["conics"], meta["opacities"]

    assert torch.autograd.gradcheck(f, scene[:4], eps=1e-6, atol=1e-6, rtol=1e-5), "seed 4"


def _footprints(bases: int | None = None) -> tuple[tuple[object, ...], tuple[Tensor, ...]]:
    s = make_scene(12, 20, 18, 2, seed=5, bases=bases).to(torch.float32)
    sh = None if bases is None else s.colors
    inputs = (*s[:4], sh, s.viewmats, s.Ks.detach(), 20, 18, 0.01, 1e10, 0.0, 0.3, 1, False, "cpu")
    return inputs, tuple(t.detach() for t in _raster_ops.project(*inputs))


@pytest.mark.parametrize("bases", [None, 4])
def test_opcheck_project(bases: int | None) -> None:
    inputs, out = _footprints(bases)
    torch.library.opcheck(_raster_ops.project, inputs)
    grads = [torch.randn_like(t) for t in out[:5]]
    detached = [t.detach() if isinstance(t, Tensor) else t for t in inputs[:7]]
    torch.library.opcheck(_raster_ops.project_backward, (*detached, out[5], *grads, True, *inputs[7:]))


def test_opcheck_tile_lists() -> None:
    _, (means2d, depths, conics, opacities, _, radii) = _footprints()
    # No static check of shapes: the number of pairs is known only afterwards.
    torch.library.opcheck(
        _raster_ops.tile_lists, (means2d, conics, opacities, depths, radii, 20, 18, 0, "cpu")
    )


@pytest.mark.parametrize("with_depth", [False, True])
def test_opcheck_blend(with_depth: bool) -> None:
    _, (means2d, depths, conics, opacities, _, radii) = _footprints()
    lists = _raster_ops.tile_lists(means2d, conics, opacities, depths, radii, 20, 18, 0, "cpu")
    colors, background = torch.rand(12, 3), torch.rand(2, 3)
    tensors = [t.clone().requires_grad_() for t in (means2d, conics, colors, opacities, depths, background)]
    args = (*tensors, lists, 20, 18, with_depth, False, False, "cpu")
    torch.library.opcheck(_raster_ops.blend, args)
    out = _raster_ops.blend(*(t.detach() if isinstance(t, Tensor) else t for t in args))
    back = (
        *(t.detach() for t in tensors),
        lists,
        *out[2:],
        torch.rand_like(out[0]),
        torch.rand_like(out[1]),
    )
    torch.library.opcheck(_raster_ops.blend_backward, (*back, True, 20, 18, with_depth, True, False, "cpu"))
