"""Marching tetrahedra: closed surfaces of the right size, with the right gradients, and its edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.mesh.trained.grid import SAFE, TetGrid, tet_grid
from sctd.mesh.trained.normals import face_crosses
from sctd.mesh.trained.tetrahedra import Crossing, marching_tetrahedra
from sctd.mesh.triangles import open_edges

RADIUS, STEP = 0.6, 0.1


def box(half: float) -> tuple[Tensor, Tensor]:
    return torch.full((3,), -half), torch.full((3,), half)


@pytest.fixture(scope="module")
def grid() -> TetGrid:
    return tet_grid(*box(0.65), STEP)


@pytest.fixture(scope="module")
def ball(grid: TetGrid) -> Crossing:
    return marching_tetrahedra(grid.points, grid.points.norm(dim=1) - RADIUS, grid.tetrahedra)


def volumes(points: Tensor, tetrahedra: Tensor) -> Tensor:
    a, b, c, d = points.double()[tetrahedra].unbind(1)
    return torch.linalg.det(torch.stack((b - a, c - a, d - a), dim=1)) / 6


def test_the_grid_fills_its_box_with_one_shape(grid: TetGrid) -> None:
    """Every tetrahedron is a twelfth of a cube, and neighbours share whole faces."""
    torch.testing.assert_close(
        volumes(grid.points, grid.tetrahedra),
        torch.full((len(grid.tetrahedra),), STEP**3 / 12, dtype=torch.float64),
        rtol=1e-4,
        atol=0,
    )
    lengths = (grid.points[grid.edges()].diff(dim=1)[:, 0].norm(dim=1) / STEP).double()
    near = torch.stack([(lengths - k).abs() for k in (1, math.sqrt(3) / 2)]).amin(0)
    assert near.max() < 1e-5
    triangles = grid.tetrahedra[:, torch.combinations(torch.arange(4), 3)].reshape(-1, 3).sort(1).values
    count = len(grid.points)
    found, times = torch.unique(
        (triangles[:, 0] * count + triangles[:, 1]) * count + triangles[:, 2], return_counts=True
    )
    assert times.max() == 2
    alone = found[times == 1]
    alone = torch.stack((alone // count**2, alone // count % count, alone % count))
    assert bool(grid.border[alone].all()), "only the border has a face on one side alone"
    assert bool((grid.points[~grid.border].abs().amax(0) >= 0.65 - STEP).all())
    assert bool((grid.points[grid.border].abs().amax(1) > 0.65).all()), "the box is inside the border"


def test_points_may_move_as_far_as_the_grid_says(grid: TetGrid) -> None:
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        way = torch.randn(len(grid.points), 3, generator=g)
        moved = grid.points + 0.999 * SAFE * STEP * way / way.norm(dim=1, keepdim=True)
        assert volumes(moved, grid.tetrahedra).min() > 0
    sides = grid.points[grid.tetrahedra[0]]
    apart = (sides[2:].mean(0) - sides[:2].mean(0)).norm()
    assert apart == pytest.approx(2 * SAFE * STEP, rel=1e-5), "and no farther: two edges would meet"


def test_a_ball_is_closed_and_of_its_size(ball: Crossing, grid: TetGrid) -> None:
    """The distance is linear along an edge but for e^2 / (8 r), e its length, at most STEP.

    So vertices are that much inside. Faces lie inside of their vertices by the sagitta of a triangle whose
    corners are at most STEP apart, which is e^2 / (6 r) at its centre. Together they bound the radius of the
    solid from below, and the ball bounds it from above. For the area, a face is tilted by an angle of at most
    asin(R / r), R = e / sqrt(3) round its corners, and is the ball's area under it times the cosine or less.
    """
    faces = ball.faces.numpy()
    assert open_edges(faces) == 0
    assert len(ball.vertices) - 1.5 * len(faces) + len(faces) == 2, "Euler's number of a sphere"
    radius = ball.vertices.double().norm(dim=1)
    bend = STEP**2 / (8 * (RADIUS - STEP))
    assert radius.max() <= RADIUS + 1e-6
    assert radius.min() >= RADIUS - bend
    inner = RADIUS - bend - STEP**2 / (6 * (RADIUS - STEP))
    crosses = face_crosses(ball.vertices.double(), ball.faces)
    volume = float((ball.vertices.double()[ball.faces[:, 0]] * crosses).sum()) / 6
    assert 4 / 3 * math.pi * inner**3 < volume < 4 / 3 * math.pi * RADIUS**3
    area = float(crosses.norm(dim=1).sum()) / 2
    assert (
        4 * math.pi * inner**2 < area < 4 * math.pi * RADIUS**2 / math.cos(math.asin(STEP / 3**0.5 / inner))
    )


def test_every_case_of_one_tetrahedron_looks_outwards() -> None:
    """All sixteen: the number of faces, and each turned away from the corners inside."""
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    for case in range(16):
        sign = torch.tensor([-1.0 if case >> k & 1 else 1.0 for k in range(4)])
        made = marching_tetrahedra(points, sign, torch.arange(4)[None])
        inside = int((sign < 0).sum())
        assert len(made.faces) == (0, 1, 2, 1, 0)[inside], case
        for face, cross in zip(made.faces, face_crosses(made.vertices, made.faces), strict=True):
            corner = made.vertices[face[0]]
            side = (points - corner) @ cross
            assert bool((side * sign >= 0).all()), case
            assert side.abs().max() > 0


def test_gradients_against_finite_differences() -> None:
    """Of places and shares, by points and distances, in double; no sign changes on the way."""
    grid = tet_grid(*box(0.1), 0.2)
    points = grid.points.double()
    distance = (points - torch.tensor([0.01, 0.02, -0.015])).norm(dim=1) - 0.17
    assert distance.abs().min() > 1e-3
    points.requires_grad_()
    distance = distance.detach().requires_grad_()

    def found(p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        made = marching_tetrahedra(p, s, grid.tetrahedra)
        return made.vertices, made.share

    assert len(found(points, distance)[0]) > 10
    assert torch.autograd.gradcheck(found, (points, distance), fast_mode=True)


@pytest.mark.parametrize("sign", [-1.0, 1.0], ids=["all inside", "all outside"])
def test_points_on_one_side_have_no_surface(grid: TetGrid, sign: float) -> None:
    made = marching_tetrahedra(grid.points, torch.full((len(grid.points),), sign), grid.tetrahedra)
    assert made.vertices.shape == (0, 3)
    assert made.faces.shape == (0, 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_distances_that_are_not_finite_are_refused(grid: TetGrid, bad: float) -> None:
    distance = grid.points.norm(dim=1) - RADIUS
    distance[7] = bad
    with pytest.raises(InputError, match=f"needs finite distances; 1 of {len(distance)} are not"):
        marching_tetrahedra(grid.points, distance, grid.tetrahedra)


@pytest.mark.parametrize("share", [0.1, 1.0], ids=["some zero", "all of the inside's rim zero"])
def test_distances_of_exactly_zero_are_outside_and_leave_no_gap(grid: TetGrid, share: float) -> None:
    distance = (grid.points.norm(dim=1) - RADIUS).clone()
    near = distance.abs() < STEP / 2
    chosen = torch.rand(len(distance), generator=torch.Generator().manual_seed(0)) < share
    distance[near & chosen] = 0.0
    distance.requires_grad_()
    made = marching_tetrahedra(grid.points, distance, grid.tetrahedra)
    assert open_edges(made.faces.numpy()) == 0
    at_points = made.share[(distance[made.ends] == 0).any(1)]
    assert len(at_points) > 10
    assert bool(((at_points == 0) | (at_points == 1)).all())
    made.vertices.square().sum().backward()
    assert distance.grad is not None
    assert bool(distance.grad.isfinite().all())


def test_the_same_surface_on_every_call(ball: Crossing, grid: TetGrid) -> None:
    again = marching_tetrahedra(grid.points, grid.points.norm(dim=1) - RADIUS, grid.tetrahedra)
    assert all(torch.equal(a, b) for a, b in zip(ball, again, strict=True))
    order = np.random.default_rng(0).permutation(len(grid.tetrahedra))
    other = marching_tetrahedra(grid.points, grid.points.norm(dim=1) - RADIUS, grid.tetrahedra[order])
    assert torch.equal(other.vertices, ball.vertices), "whatever the order of the tetrahedra"


def test_a_grid_needs_a_box_and_a_step() -> None:
    with pytest.raises(ValueError, match="a box and a step above 0"):
        tet_grid(*box(-1.0), 0.1)
    with pytest.raises(ValueError, match="a box and a step above 0"):
        tet_grid(*box(1.0), 0.0)
    with pytest.raises(ValueError, match="at most 50000000 points"):
        tet_grid(*box(1.0), 1e-4)
