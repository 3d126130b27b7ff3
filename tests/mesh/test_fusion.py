"""Fusion of depth pictures: the kernel against its definition, and bit for bit on any number of threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from sctd import ops
from sctd.cameras import intrinsics, look_at
from sctd.errors import InputError
from sctd.ops import fuse_depth
from sctd.ops.fusion import Grid

GRID = Grid((13, 12, 11), (-0.9, -0.8, -0.7), 0.14)
SETTINGS: dict[str, Any] = {"reach": 0.4, "level": 0.5, "hidden": 0.1, "carvers": 3}


class Pictures(NamedTuple):
    depth: Tensor
    alpha: Tensor
    viewmats: Tensor
    Ks: Tensor

    def to(self, dtype: torch.dtype) -> Pictures:
        return Pictures(*(t.to(dtype) for t in self))


def pictures(count: int = 9, seed: int = 0) -> Pictures:
    """Soft blobs with depths that differ, from cameras of which some see part of the grid, one nothing of it.

    The numbers are float32's, the type is float64.
    """
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    eyes = torch.nn.functional.normalize(rand(count, 3) - 0.5, dim=1) * 2.5
    eyes[-1] = torch.tensor([0.0, 0.0, 0.5])  # within the grid: some points are behind it
    targets = 0.2 * (rand(count, 3) - 0.5)
    targets[-2] = 2 * eyes[-2]  # looks away
    up = torch.tensor([[0.0, 1.0, 0.1]], dtype=torch.float64).expand(count, 3)
    height, width = 18, 22
    y, x = torch.meshgrid(torch.arange(height) - 8.0, torch.arange(width) - 10.0, indexing="ij")
    alpha = 1 / (1 + torch.exp((x * x + y * y).sqrt()[None] - 5 - 2 * rand(count, 1, 1)))
    alpha = (alpha + 0.05 * rand(count, height, width)).clamp(0, 1)
    depth = alpha * (2.2 + 0.5 * rand(count, height, width))
    ks = intrinsics(torch.full((count,), math.radians(40), dtype=torch.float64), width, height)
    return Pictures(depth, alpha, look_at(eyes, targets, up), ks).to(torch.float32).to(torch.float64)


@pytest.fixture
def threads() -> Iterator[None]:
    before = ops.get_num_threads()
    yield
    ops.set_num_threads(before)


def test_equals_the_definition() -> None:
    seen = pictures()
    exact = fuse_depth(*seen, GRID, **SETTINGS, backend="reference")
    assert exact.shape == GRID.size
    assert (exact < 0).any()
    assert (exact.abs() < 0.39).sum() > 100
    got = fuse_depth(*seen, GRID, **SETTINGS, backend="cpu")
    torch.testing.assert_close(got, exact, rtol=0, atol=1e-12)


def test_in_float32_only_points_on_the_edge_of_a_decision_differ() -> None:
    """Those are the points that change when coverage or depth change by 1e-5, some 100 roundings."""
    seen = pictures()
    exact = fuse_depth(*seen, GRID, **SETTINGS, backend="reference")
    sure = torch.ones_like(exact, dtype=torch.bool)
    for share in (1 - 1e-5, 1 + 1e-5):
        for moved in (
            seen._replace(alpha=seen.alpha * share, depth=seen.depth * share),
            seen._replace(depth=seen.depth * share),
        ):
            other = fuse_depth(*moved, GRID, **SETTINGS, backend="reference")
            sure &= (other - exact).abs() < 1e-3
    got = fuse_depth(*seen.to(torch.float32), GRID, **SETTINGS, backend="cpu")
    assert sure.double().mean() > 0.95
    assert (got[sure] - exact[sure]).abs().max() < 1e-3


@pytest.mark.parametrize(
    "change", [{"reach": 0.3}, {"level": 0.6}, {"hidden": 0.3}, {"carvers": 2}, {"carvers": 4}], ids=str
)
def test_every_number_counts(change: dict[str, float]) -> None:
    """Else the comparison above would miss a kernel that leaves one out."""
    seen = pictures()
    one, other = (fuse_depth(*seen, GRID, **{**SETTINGS, **c}, backend="cpu") for c in ({}, change))
    assert (one - other).abs().max() > 0.01
    exact = fuse_depth(*seen, GRID, **{**SETTINGS, **change}, backend="reference")
    torch.testing.assert_close(other, exact, rtol=0, atol=1e-12)


def test_bit_identical_for_any_number_of_threads(threads: None) -> None:
    seen, found = pictures().to(torch.float32), []
    for count in (1, 2, 3):
        ops.set_num_threads(count)
        found.append(fuse_depth(*seen, GRID, **SETTINGS))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_plane_that_faces_the_camera() -> None:
    """By hand: z = 3 everywhere, seen from the origin along +z; distances go along the ray."""
    alpha = torch.ones(1, 8, 8, dtype=torch.float64)
    K = torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]], dtype=torch.float64)
    where = (torch.eye(4, dtype=torch.float64)[None], K)
    grid = Grid((2, 1, 5), (0.0, 0.0, 2.0), 0.5)
    got = fuse_depth(3 * alpha, alpha, *where, grid, reach=0.75, carvers=1)
    assert got[0, 0].tolist() == [0.75, 0.5, 0.0, -0.5, -0.75]
    slant = torch.tensor([(0.5**2 + z * z) ** 0.5 / z for z in (2.5, 3.5)], dtype=torch.float64)
    torch.testing.assert_close(got[1, 0, [1, 3]], torch.tensor([0.5, -0.5]).double() * slant)


def test_refused_by_name() -> None:
    seen = pictures(2)
    for change, says in (
        ({"reach": 0.0}, "reach must be > 0"),
        ({"level": 1.0}, "level must be inside 0..1"),
        ({"hidden": -0.1}, r"hidden must be in 0\.\.1"),
        ({"carvers": 17}, r"carvers must be in 1\.\.16"),
    ):
        with pytest.raises(InputError, match=says):
            fuse_depth(*seen, GRID, **{**SETTINGS, **change})
    with pytest.raises(InputError, match="grid must have three sizes"):
        fuse_depth(*seen, GRID._replace(step=0.0), **SETTINGS)
    with pytest.raises(InputError, match="alpha must have shape"):
        fuse_depth(seen.depth, seen.alpha[:1], seen.viewmats, seen.Ks, GRID, **SETTINGS)
    with pytest.raises(InputError, match="viewmats must have the dtype"):
        fuse_depth(seen.depth, seen.alpha, seen.viewmats.float(), seen.Ks, GRID, **SETTINGS)
