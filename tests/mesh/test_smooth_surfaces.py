"""Normals, regularisers and preconditioned steps against answers that are known, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from triangle_scenes import sphere

from sctd.mesh.trained.normals import edges_of, face_normals, neighbouring_faces, unit, vertex_normals
from sctd.mesh.trained.precondition import Preconditioner
from sctd.mesh.trained.regularisers import laplacian, normal_consistency

CUBE = torch.cartesian_prod(*(torch.tensor([-1.0, 1.0], dtype=torch.float64),) * 3)
SIDES = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
CUBE_FACES = torch.cat((SIDES[:, :3], SIDES[:, [0, 2, 3]]))


def rough_ball(seed: int = 0) -> tuple[Tensor, Tensor]:
    points, faces = sphere(6, 9)
    noise = torch.rand(len(points), 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points * (1 + 0.1 * noise), faces.long()


def test_normals_look_outwards() -> None:
    normals = face_normals(CUBE, CUBE_FACES)
    centres = CUBE[CUBE_FACES].mean(1)
    assert torch.equal(normals.abs().sort(1).values, torch.tensor([0.0, 0, 1]).double().expand(12, 3))
    assert bool(((normals * centres).sum(1) == 1).all())
    points, faces = sphere(40, 60)
    turned = (vertex_normals(points, faces.long()) * points).sum(1) / points.norm(dim=1)
    assert turned.abs().min() > 0.999
    assert bool((turned.sign() == turned[0].sign()).all())


def test_no_area_and_no_face_give_zero_and_no_gradient() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2], [1, 1, 0]])
    for found in (face_normals(points, faces), vertex_normals(points, faces)):
        assert not found.any()
        found.sum().backward()
        assert not points.grad.any()
    tiny = torch.tensor([[1e-18, 0.0, 0]], requires_grad=True)
    assert unit(tiny).tolist() == [[1, 0, 0]]


def test_edges_and_neighbours_of_a_cube() -> None:
    assert len(edges_of(CUBE_FACES)) == 18
    pairs = neighbouring_faces(CUBE_FACES)
    assert len(pairs) == 18
    for one, other in pairs.tolist():
        assert len({*CUBE_FACES[one].tolist()} & {*CUBE_FACES[other].tolist()}) == 2
    assert len(torch.unique(pairs.sort(1).values, dim=0)) == 18


def test_an_edge_of_one_or_of_three_faces_has_no_neighbours() -> None:
    fan = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4], [1, 2, 5]])
    assert neighbouring_faces(fan).tolist() == [[0, 3]]
    assert neighbouring_faces(fan[:1]).shape == (0, 2)
    assert neighbouring_faces(fan[:0]).shape == (0, 2)
    assert normal_consistency(CUBE, fan[:1], neighbouring_faces(fan[:1])) == 0


def test_normal_consistency_of_a_cube() -> None:
    """Twelve right angles, and six diagonals between coplanar faces."""
    value = normal_consistency(CUBE, CUBE_FACES, neighbouring_faces(CUBE_FACES))
    assert float(value) == pytest.approx(12 / 18)


def test_the_laplacian_of_an_affine_function_on_a_row_is_zero_inside() -> None:
    """Ends are a step from their one neighbour, the point without edges stays where it is."""
    row = torch.arange(5.0)[:, None] * torch.tensor([[2.0, 0, 1]])
    edges = torch.stack((torch.arange(4), torch.arange(1, 5)), dim=1)
    values = torch.cat((row, torch.full((1, 3), 9.0)))
    assert float(laplacian(values, edges)) == pytest.approx(2 * 5 / 6)
    assert float(laplacian(values[:, :1], edges[:0])) == 0


def test_gradients_of_the_regularisers_against_finite_differences() -> None:
    points, faces = rough_ball()
    pairs, edges = neighbouring_faces(faces), edges_of(faces)
    points.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: normal_consistency(p, faces, pairs), points)
    assert torch.autograd.gradcheck(lambda p: laplacian(p, edges), points)
    assert torch.autograd.gradcheck(lambda p: vertex_normals(p, faces), points)


def dense(edges: Tensor, count: int, strength: float) -> Tensor:
    """I + strength (degree - adjacency), entry by entry."""
    matrix = torch.eye(count, dtype=torch.float64)
    for a, b in edges.tolist():
        matrix[a, a] += strength
        matrix[b, b] += strength
        matrix[a, b] -= strength
        matrix[b, a] -= strength
    return matrix


@pytest.mark.parametrize("strength", [0.0, 1.0, 30.0])
def test_a_preconditioned_step_is_the_dense_solve(strength: float) -> None:
    """To the rounding of a double and its condition number, 1 + 2 strength times the largest degree."""
    points, faces = rough_ball()
    edges, count = edges_of(faces), len(points)
    matrix, made = dense(edges, count, strength), Preconditioner(edges, count, strength)
    g = torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rtol = 1e-15 * (1 + 2 * strength * float(edges.flatten().bincount().max())) * count
    torch.testing.assert_close(made.solved(g), torch.linalg.solve(matrix, g), rtol=rtol, atol=rtol)
    torch.testing.assert_close(made.multiplied(points), matrix @ points, rtol=1e-14, atol=1e-13)
    u = made.multiplied(points).requires_grad_()
    (made.solved(u) * g).sum().backward()
    torch.testing.assert_close(u.grad, torch.linalg.solve(matrix, g), rtol=rtol, atol=rtol)
    assert made.solved(g.float()).dtype == torch.float32


def test_one_vertex_s_noise_vanishes_and_a_common_shift_stays() -> None:
    """A constant is the kernel of the Laplacian; a single step is spread over the neighbours."""
    points, faces = rough_ball()
    made = Preconditioner(edges_of(faces), len(points), 20.0)
    same = torch.ones(len(points), 1, dtype=torch.float64)
    torch.testing.assert_close(made.solved(same), same, rtol=1e-12, atol=0)
    spike = torch.zeros_like(same)
    spike[17] = 1
    assert made.solved(spike).max() < 0.1
    assert float(made.solved(spike).sum()) == pytest.approx(1)


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf])
def test_a_strength_below_zero_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="must be 0 or above"):
        Preconditioner(torch.tensor([[0, 1]]), 2, strength)
