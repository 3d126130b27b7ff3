"""Pictures up to 256 x 256 and 20,000 Gaussians, on every backend: values and every gradient."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import pytest
import torch
from raster_scenes import Scene, assert_errors_at_most_twice, device_of, make_scene, on_every_backend
from tiled_reference import blend_squares, near_a_threshold, project
from torch import Tensor

from sctd.ops import rasterization

NAMES = ("renders", "alphas", "means", "quats", "scales", "opacities", "colors", "viewmats", "backgrounds")
CASES = {
    # Gaussians, width, height, cameras, SH degree, mode, scenes
    "1 in 256x256": (1, 256, 256, 1, 0, "classic", 6),
    "20k in 256x256": (20_000, 256, 256, 1, 0, "classic", 1),
    "5k on 4 cameras": (5_000, 131, 94, 4, 3, "antialiased", 1),
    "2k, wide": (2_000, 250, 33, 2, 1, "classic", 3),
    "300 large ones, tall": (300, 18, 201, 3, 2, "antialiased", 3),
}
LARGE = 300
"""From so many Gaussians on an error's root mean square is no matter of luck."""


class Case(NamedTuple):
    """A scene, what a picture of it is compared by, and what the definition says in double and in float32."""

    scene: Scene
    background: Tensor
    options: dict[str, Any]
    weights: tuple[Tensor, Tensor]


@functools.cache
def make_case(name: str, seed: int) -> Case:
    count, width, height, cameras, degree, mode, _ = CASES[name]
    size = 0.25 * count ** (-1 / 3) if count > LARGE else 0.2
    bases = (degree + 1) ** 2
    scene = make_scene(count, width, height, cameras, seed=seed, size=size, bases=bases, spread=0.6)
    background = torch.linspace(0.1, 0.9, cameras * 3).double().reshape(cameras, 3)
    # Nothing of the pixels in which float32 may decide otherwise: there the comparison says nothing.
    near = near_a_threshold(project(scene, degree, mode), width, height)
    assert near.double().mean() < 0.02
    g = torch.Generator().manual_seed(5)
    weights = [torch.randn(*near.shape, d, generator=g).double() * ~near[..., None] for d in (3, 1)]
    return Case(scene, background, {"sh_degree": degree, "rasterize_mode": mode}, (weights[0], weights[1]))


def with_gradients(case: Case, values: tuple[Tensor, Tensor], s: Scene, background: Tensor) -> list[Tensor]:
    """Pictures and alphas without what has no weight, and all gradients."""
    kept = [t.detach().cpu() * (case.weights[1] != 0) for t in values]
    assert background.grad is not None
    return [*kept, *(t.grad.cpu() for t in s[:6] if t.grad is not None), background.grad.cpu()]


@functools.cache
def by_definition(name: str, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """In double and in float32."""
    case, sides = make_case(name, seed), []
    for dtype in (torch.float64, torch.float32):
        s, background = case.scene.to(dtype), case.background.to(dtype, copy=True).requires_grad_()
        p = project(s, *case.options.values())
        weights = (case.weights[0].to(dtype), case.weights[1].to(dtype))
        values = blend_squares(p, background, s.width, s.height, weights)
        sides.append(with_gradients(case, values, s, background))
    return sides[0], sides[1]


def by_backend(name: str, seed: int, backend: str) -> list[Tensor]:
    case = make_case(name, seed)
    device = device_of(backend)
    s = case.scene.to(torch.float32, backend)
    background = case.background.to(device, torch.float32, copy=True).requires_grad_()
    renders, alphas, _ = rasterization(*s, backgrounds=background, backend=backend, **case.options)
    weights = [w.to(device, torch.float32) for w in case.weights]
    ((renders * weights[0]).sum() + (alphas * weights[1]).sum()).backward()
    return with_gradients(case, (renders, alphas), s, background)


@on_every_backend
@pytest.mark.parametrize("name", CASES)
def test_obeys_the_definition(name: str, backend: str) -> None:
    seeds = range(CASES[name][-1])
    exact, plain = ([by_definition(name, seed)[side] for seed in seeds] for side in (0, 1))
    got = [by_backend(name, seed, backend) for seed in seeds]
    for i, what in enumerate(NAMES):
        sides = [[values[i] for values in side] for side in (got, plain, exact)]
        assert_errors_at_most_twice(*sides, what)
        if CASES[name][0] >= LARGE and what != "backgrounds":
            ours, theirs = (
                max(rms(a.double() - b) / rms(b) for a, b in zip(side, sides[2], strict=True))
                for side in sides[:2]
            )
            assert ours <= 1.5 * theirs, f"{what}: {ours:.2e}, plain torch {theirs:.2e}"


def rms(t: Tensor) -> float:
    return t.square().mean().sqrt().item()
