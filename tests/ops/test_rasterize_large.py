"""Pictures up to 256 x 256 and 20,000 Gaussians, on every backend: values and every gradient."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import pytest
import torch
from raster_scenes import Scene, device_of, make_scene, on_every_backend
from rounding import DRAWS, Truth, assert_rounded_alone, assert_rounded_as_a_whole, by_definition
from tiled_reference import blend_squares, near_a_threshold, project
from torch import Tensor

from sctd.ops import rasterization

NAMES = ("renders", "alphas", "means", "quats", "scales", "opacities", "colors", "viewmats", "backgrounds")
CASES = {
    # Gaussians, width, height, cameras, SH degree, mode
    "1 in 256x80": (1, 256, 80, 1, 0, "classic"),
    "20k in 256x256": (20_000, 256, 256, 1, 0, "classic"),
    "5k on 4 cameras": (5_000, 131, 94, 4, 3, "antialiased"),
    "2k, wide": (2_000, 250, 33, 2, 1, "classic"),
    "300 large ones, tall": (300, 18, 201, 3, 2, "antialiased"),
}
LARGE = 300
"""Of more Gaussians or numbers one draw is enough, taken as a whole."""


class Case(NamedTuple):
    """A scene, and what a picture of it is compared by."""

    scene: Scene
    background: Tensor
    options: dict[str, Any]
    weights: tuple[Tensor, Tensor]


@functools.cache
def make_case(name: str) -> Case:
    count, width, height, cameras, degree, mode = CASES[name]
    size = 0.25 * count ** (-1 / 3) if count > LARGE else 0.2
    bases = (degree + 1) ** 2
    scene = make_scene(count, width, height, cameras, size=size, bases=bases, spread=0.6)
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
def truths(name: str) -> list[Truth]:
    """By the definition, for every backend."""
    case = make_case(name)

    def call() -> list[Tensor]:
        s, background = case.scene.to(torch.float64), case.background.clone().requires_grad_()
        p = project(s, *case.options.values())
        values = blend_squares(p, background, s.width, s.height, case.weights)
        return with_gradients(case, values, s, background)

    return by_definition(call, draws=1 if CASES[name][0] > LARGE else DRAWS)


def by_backend(name: str, backend: str) -> list[Tensor]:
    case = make_case(name)
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
    for what, value, truth in zip(NAMES, by_backend(name, backend), truths(name), strict=True):
        assert truth.exact.any(), f"{what} is zero: the comparison says nothing"
        large = min(CASES[name][0], value.numel()) > LARGE
        (assert_rounded_as_a_whole if large else assert_rounded_alone)(value, truth, what)
