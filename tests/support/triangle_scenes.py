"""Small meshes for the tests of the triangle ops, and truths about them that no rasterizer computes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Scene(NamedTuple):
    """Clip-space vertices [C, V, 4], faces [F, 3], the picture's height and width."""

    vertices: Tensor
    faces: Tensor
    height: int
    width: int


def at_pixels(points: Tensor, height: int, width: int) -> Tensor:
    """Pixel positions and depth, [..., 3] => clip space with w 1."""
    x, y, z = points.unbind(-1)
    return torch.stack([2 * x / width - 1, 2 * y / height - 1, z, torch.ones_like(x)], -1)


def soup(count: int, height: int, width: int, cameras: int = 1, seed: int = 0, behind: float = 0.0) -> Scene:
    """Unconnected faces of all sizes, w from 0.5 to 3, and that share of the vertices behind the camera."""
    g = torch.Generator().manual_seed(seed)
    center = 2.6 * torch.rand(cameras, count, 1, 2, generator=g) - 1.3
    size = torch.rand(cameras, count, 1, 1, generator=g) ** 3 * 1.5 + 0.02
    xy = center + size * (2 * torch.rand(cameras, count, 3, 2, generator=g) - 1)
    w = 0.5 + 2.5 * torch.rand(cameras, count, 3, 1, generator=g)
    w = torch.where(torch.rand(cameras, count, 3, 1, generator=g) < behind, -w, w)
    z = 1.8 * torch.rand(cameras, count, 3, 1, generator=g) - 0.9
    vertices = torch.cat([xy * w, z * w.abs(), w], -1).reshape(cameras, 3 * count, 4)
    return Scene(vertices, torch.arange(3 * count, dtype=torch.int32).reshape(count, 3), height, width)


def giants(count: int, height: int, width: int, seed: int = 0) -> Scene:
    """Unconnected faces with corners in all directions, some far beyond the guard band."""
    g = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(count, 3, 1, generator=g)
    reach = 10 ** (3 + 5 * torch.rand(count, 3, 1, generator=g))
    w = 0.5 + 2.5 * torch.rand(count, 3, 1, generator=g)
    z = 1.8 * torch.rand(count, 3, 1, generator=g) - 0.9
    vertices = torch.cat([reach * angle.cos(), reach * angle.sin(), z * w, w], -1).reshape(1, 3 * count, 4)
    return Scene(vertices, torch.arange(3 * count, dtype=torch.int32).reshape(count, 3), height, width)


def sphere(rings: int, sectors: int, turn: float = 0.3) -> tuple[Tensor, Tensor]:
    """A closed, smooth surface: points [V, 3] in double, faces [F, 3]; the poles are single vertices."""
    theta = torch.linspace(0, torch.pi, rings + 1, dtype=torch.float64)[1:-1, None]
    phi = torch.arange(sectors, dtype=torch.float64)[None] * (2 * torch.pi / sectors) + turn
    ring = torch.stack(
        [theta.sin() * phi.cos(), theta.cos().expand(-1, sectors), theta.sin() * phi.sin()], -1
    )
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    number = torch.arange((rings - 1) * sectors).reshape(rings - 1, sectors)
    north, south = (rings - 1) * sectors, (rings - 1) * sectors + 1
    a, b = number[:-1], number[1:]
    right_a, right_b = a.roll(-1, 1), b.roll(-1, 1)
    faces = [torch.stack([a, b, right_a], -1), torch.stack([right_a, b, right_b], -1)]
    first, last = number[0], number[-1]
    faces += [torch.stack([torch.full_like(first, north), first, first.roll(-1)], -1)]
    faces += [torch.stack([torch.full_like(last, south), last.roll(-1), last], -1)]
    return torch.cat([ring.reshape(-1, 3), poles]), torch.cat([f.reshape(-1, 3) for f in faces]).int()


def cameras_around(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """View matrices and Ks of cameras on a ring of radius 3, in double."""
    views, focal = [], 1.1 * max(height, width)
    for i in range(count):
        angle = torch.tensor(0.4 + 2 * torch.pi * i / count, dtype=torch.float64)
        z = -torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos()])
        x = torch.linalg.cross(z, torch.tensor([0.0, 1, 0], dtype=torch.float64))
        rotation = torch.stack([x, torch.linalg.cross(z, x), z])
        view = torch.eye(4, dtype=torch.float64)
        view[:3, :3], view[:3, 3] = rotation, rotation @ (3 * z)
        views.append(view)
    k = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return torch.stack(views), k.expand(count, 3, 3).clone()


def rays(vertices: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Every pixel's ray against every face's plane, in double, by a linear solver.

    => weights [F, H, W, 3] and z/w [F, H, W], of one camera's vertices [V, 4]; the weights b and a factor t
    solve sum_k b_k (x, y, w)_k = t (X, Y, 1), sum_k b_k = 1; not finite where the plane is not met, and t < 0
    behind the camera, which is told by weights of NaN.
    """
    v = vertices.double()
    x = (torch.arange(width).double() + 0.5) * 2 / width - 1
    y = (torch.arange(height).double() + 0.5) * 2 / height - 1
    ray = torch.stack(
        [x[None].expand(height, -1), y[:, None].expand(-1, width), torch.ones(height, width)], -1
    )
    system = torch.zeros(len(faces), height, width, 4, 4, dtype=torch.float64)
    corners = v[faces.long()]
    system[..., :3, :3] = corners[:, None, None, :, [0, 1, 3]].mT
    system[..., :3, 3] = -ray
    system[..., 3, :3] = 1
    right = torch.tensor([0.0, 0, 0, 1], dtype=torch.float64).expand(len(faces), height, width, 4)
    solved, _ = torch.linalg.solve_ex(system, right.unsqueeze(-1))
    b, t = solved[..., :3, 0], solved[..., 3, 0]
    b = torch.where((t > 0)[..., None], b, torch.nan)
    depth = (b * corners[:, None, None, :, 2]).sum(-1) / t
    return b, depth
