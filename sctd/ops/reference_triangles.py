"""The triangle ops' definitions in plain torch, to be read beside csrc/include/triangle.h.

One face after another over whole pictures: for small scenes. In float32 the native kernels draw the same
fragments bit for bit; autograd gives the gradients that they must reproduce, but for those of edges, which
:func:`edge_gradient` defines.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SUB_PIXELS = 256
"""Steps of a rounded corner, a pixel."""
GUARD = 130048.0
"""Corners further from the picture's corner are cut off, pixels."""
STEEPEST = 4.0
"""Bound of an intersection's weights."""


def to_pixels(clip: Tensor, height: int, width: int) -> Tensor:
    """Clip space [..., 4] => x and y scaled to pixels, not yet divided by w, [..., 4]."""
    x, y, z, w = clip.unbind(-1)
    return torch.stack([(x + w) * (0.5 * width), (y + w) * (0.5 * height), z, w], -1)


def centers(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel centres x [1, W], y [H, 1]."""
    x, y = (torch.arange(n, dtype=like.dtype, device=like.device) + 0.5 for n in (width, height))
    return x[None], y[:, None]


def signed_weights(corners: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """e_0, e_1, e_2 of corners [..., 3, 4] at pixels x, y: weights up to a factor, which may be negative."""
    u = [corners[..., k, 0] - x * corners[..., k, 3] for k in range(3)]
    v = [corners[..., k, 1] - y * corners[..., k, 3] for k in range(3)]
    return [u[k - 2] * v[k - 1] - v[k - 2] * u[k - 1] for k in range(3)]


def weights(corners: Tensor, x: Tensor, y: Tensor) -> tuple[list[Tensor], Tensor]:
    """The same, not negative, and their sum."""
    e = signed_weights(corners, x, y)
    turned = (e[0] + e[1]) + e[2] < 0
    e = [torch.where(turned, -t, t).clamp_min(0) for t in e]
    return e, (e[0] + e[1]) + e[2]


def weighted(e: list[Tensor], a: Tensor) -> Tensor:
    """sum_k e_k a_k, a [..., 3]."""
    return (e[0] * a[..., 0] + e[1] * a[..., 1]) + e[2] * a[..., 2]


# --- rasterize --------------------------------------------------------------------------------------------


def _distances(corner: Tensor) -> list[Tensor]:
    x, y, z, w = corner.unbind(-1)
    reach = w * GUARD
    return [z + w, reach + x, reach - x, reach + y, reach - y]


def _clipped(corners: Tensor) -> list[Tensor]:
    """[3, 4] => the polygon that the planes leave (Sutherland and Hodgman 1974)."""
    polygon = list(corners.unbind(0))
    for plane in range(5):
        before, polygon = polygon, []
        for p, q in zip(before, [*before[1:], *before[:1]], strict=True):
            dp, dq = _distances(p)[plane], _distances(q)[plane]
            if dp >= 0:
                polygon.append(p)
            if (dp >= 0) == (dq >= 0):
                continue
            (inner, d), (outer, far) = ((p, dp), (q, dq)) if dp >= 0 else ((q, dq), (p, dp))
            polygon.append(inner + d / (d - far) * (outer - inner))
        if len(polygon) < 3:
            return []
    return polygon


def _covered(triangle: list[list[int]], height: int, width: int, device: torch.device) -> Tensor:
    """Pixels [H, W] whose centre a rounded triangle covers; on an edge, those of left and top edges."""
    (ax, ay), (bx, by), (cx, cy) = triangle
    turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if turn < 0:
        (bx, by), (cx, cy) = (cx, cy), (bx, by)
    inside = torch.full((height, width), turn != 0, device=device)
    x, y = (torch.arange(n, device=device) * SUB_PIXELS + SUB_PIXELS // 2 for n in (width, height))
    for px, py, qx, qy in ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by)):
        value = (qx - px) * (y[:, None] - py) - (qy - py) * (x[None] - px)
        owned = py > qy or (py == qy and qx > px)
        inside &= (value >= 0) if owned else (value > 0)
    return inside


def _coverage(corners: Tensor, height: int, width: int) -> Tensor:
    """Pixels [H, W] whose centre a face [3, 4] covers."""
    none = torch.zeros(height, width, dtype=torch.bool, device=corners.device)
    if not corners.isfinite().all():
        return none
    polygon = _clipped(corners)
    if not all(p[3] > 0 for p in polygon):
        return none
    snapped = [[int(torch.round(p[i] / p[3] * SUB_PIXELS)) for i in range(2)] for p in polygon]
    for k in range(1, len(snapped) - 1):
        none |= _covered([snapped[0], snapped[k], snapped[k + 1]], height, width, corners.device)
    return none


@torch.no_grad()
def rasterize(vertices: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """=> triangles [C, H, W] int32, barycentrics [C, H, W, 3], depth [C, H, W]."""
    corners = to_pixels(vertices, height, width)
    x, y = centers(height, width, corners)
    shape = (corners.shape[0], height, width)
    triangles = torch.full(shape, -1, dtype=torch.int32, device=corners.device)
    depth = corners.new_full(shape, torch.inf)
    barycentrics = corners.new_zeros(*shape, 3)
    for camera in range(shape[0]):
        for number, face in enumerate(faces.tolist()):
            c = corners[camera, face]
            e, total = weights(c, x, y)
            below = weighted(e, c[:, 3])
            z = weighted(e, c[:, 2]) / below
            nearer = _coverage(c, height, width) & (below > 0) & (z < depth[camera])
            depth[camera][nearer] = z[nearer]
            triangles[camera][nearer] = number
            barycentrics[camera][nearer] = torch.stack([t / total for t in e], -1)[nearer]
    return triangles, barycentrics, depth.masked_fill(triangles < 0, 0)


# --- interpolate ------------------------------------------------------------------------------------------


def _corners_at(vertices: Tensor, faces: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of P pixels that show a face: corners [P, 3, 4] in pixels, their cameras [P], vertices [P, 3]."""
    height, width = triangles.shape[1:]
    camera = (triangles >= 0).nonzero()[:, 0]
    seen = faces[triangles[triangles >= 0].long()].long()
    return to_pixels(vertices, height, width)[camera[:, None], seen], camera, seen


def interpolate(attributes: Tensor, vertices: Tensor, faces: Tensor, triangles: Tensor) -> Tensor:
    """[V, D] or [C, V, D] => [C, H, W, D]; differentiable in attributes and vertices."""
    corners, camera, seen = _corners_at(vertices, faces, triangles)
    _, y, x = (triangles >= 0).nonzero().unbind(1)
    e, total = weights(corners, x + 0.5, y + 0.5)
    own = attributes[seen] if attributes.dim() == 2 else attributes[camera[:, None], seen]
    values = torch.stack([(e[k] / total)[:, None] * own[:, k] for k in range(3)]).sum(0)
    image = attributes.new_zeros(*triangles.shape, attributes.shape[-1])
    return image.index_put(tuple((triangles >= 0).nonzero().unbind(1)), values)


# --- edges ------------------------------------------------------------------------------------------------


def _plane_depth(corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    e = signed_weights(corners, x, y)
    return weighted(e, corners[..., 2]) / weighted(e, corners[..., 3])


def _holds(corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    e = torch.stack(signed_weights(corners, x, y))
    return (e >= 0).all(0) | (e <= 0).all(0)


def _pair_forces(p: Tensor, q: Tensor, x: Tensor, y: Tensor, axis: int, pull: Tensor) -> list[Tensor]:
    """Forces [P, 3] on the fragments of triangles p, q [P, 3, 4] at (x, y) and one pixel along the axis."""
    step = [torch.zeros_like(x), torch.zeros_like(x)]
    step[axis] += 1
    far = (x + step[0], y + step[1])
    side = (x + step[1], y + step[0])
    pp, pq, qp, qq = (_plane_depth(t, *at) for t in (p, q) for at in ((x, y), far))
    p_hides, q_hides = pq < qq, qp < pp
    p_front = torch.where(p_hides & q_hides, pp <= qq, p_hides)
    plain = torch.stack([pull * step[0], pull * step[1], pull * 0], -1)
    slopes = [
        torch.stack([there - here, _plane_depth(t, *side) - here])
        for t, here, there in ((p, pp, pq), (q, qp, qq))
    ]
    along, cross = slopes[0] - slopes[1]
    least = torch.cat(slopes).square().amax(0) / STEEPEST**2
    square = torch.maximum(along * along + cross * cross, least)
    crossing = ~(p_hides | q_hides) & (_holds(p, *far) | _holds(q, x, y)) & (square > 0)
    lift = pull * along / square
    order = [axis, 1 - axis]
    forces = []
    for own, sign, front in ((slopes[0], 1, p_front), (slopes[1], -1, ~p_front)):
        crossed = (
            torch.stack([own[order[0]], own[order[1]], -torch.ones_like(lift)], -1) * (sign * lift)[:, None]
        )
        forces.append(
            torch.where(crossing[:, None], crossed, 0)
            + torch.where(((p_hides | q_hides) & front)[:, None], plain, 0)
        )
    return forces


def _forces(image: Tensor, g_image: Tensor, vertices: Tensor, faces: Tensor, triangles: Tensor) -> Tensor:
    """What the loss asks of the place of every fragment: [C, H, W, 3], x and y in pixels, depth."""
    height, width = triangles.shape[1:]
    corners = to_pixels(vertices, height, width)
    forces = corners.new_zeros(*triangles.shape, 3)
    if not (triangles >= 0).any():
        return forces
    for axis in (0, 1):
        dim = 2 - axis
        size = triangles.shape[dim] - 1
        a, b = (triangles.narrow(dim, i, size) for i in (0, 1))
        apart = a != b
        both = apart & (a >= 0) & (b >= 0)
        ids_a, ids_b = (faces[t.clamp_min(0).long()] for t in (a, b))
        meet = (ids_a[..., :, None] == ids_b[..., None, :]).flatten(-2).any(-1)
        mean = 0.5 * (g_image.narrow(dim, 0, size) + g_image.narrow(dim, 1, size))
        pull = (mean * (image.narrow(dim, 0, size) - image.narrow(dim, 1, size))).sum(-1)
        on_a, on_b = (forces.narrow(dim, i, size) for i in (0, 1))
        on_a[..., axis] += torch.where(apart & (b < 0), pull, 0)
        on_b[..., axis] += torch.where(apart & (a < 0), pull, 0)
        at = (both & ~meet).nonzero()
        camera, y, x = at.unbind(1)
        p, q = (corners[camera[:, None], t[tuple(at.unbind(1))].long()] for t in (ids_a, ids_b))
        f_p, f_q = _pair_forces(p, q, x + 0.5, y + 0.5, axis, pull[tuple(at.unbind(1))])
        on_a.index_put_(tuple(at.unbind(1)), f_p, accumulate=True)
        on_b.index_put_(tuple(at.unbind(1)), f_q, accumulate=True)
    return forces


def places(vertices: Tensor, faces: Tensor, triangles: Tensor, barycentrics: Tensor) -> Tensor:
    """Where the P fragments are seen, [P, 3]: x, y in pixels, depth; their weights are fixed."""
    corners, _, _ = _corners_at(vertices, faces, triangles)
    points = (barycentrics[triangles >= 0].detach()[..., None] * corners).sum(1)
    return points[:, :3] / points[:, 3:]


class _Edges(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, vertices: Tensor, *rest: Tensor) -> Tensor:
        ctx.save_for_backward(image, vertices, *rest)
        return image.view_as(image)

    @staticmethod
    def backward(ctx: Any, g_image: Tensor) -> tuple[Tensor | None, ...]:
        image, vertices, faces, triangles, barycentrics = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return g_image, None, None, None, None
        forces = _forces(image, g_image, vertices.detach(), faces, triangles)[triangles >= 0]
        with torch.enable_grad():
            moved = vertices.detach().requires_grad_()
            seen = places(moved, faces, triangles, barycentrics)
            (g_vertices,) = torch.autograd.grad(seen, moved, forces)
        return g_image, g_vertices, None, None, None


def edge_gradient(
    image: Tensor, vertices: Tensor, faces: Tensor, triangles: Tensor, barycentrics: Tensor
) -> Tensor:
    """The image as it is; backward, the gradient of its edges to the vertices is added."""
    return _Edges.apply(image, vertices, faces, triangles, barycentrics)  # type: ignore[no-untyped-call, no-any-return]


# --- texture ----------------------------------------------------------------------------------------------


def texture(image: Tensor, uv: Tensor, repeat: bool) -> Tensor:
    """Texels [H, W, D] at uv [..., 2] => [..., D], bilinear; differentiable in both."""
    spans = []
    for axis, size in enumerate((image.shape[1], image.shape[0])):
        at = uv[..., axis] * size - 0.5
        if not repeat:
            at = at.clamp(0, size - 1)
        low = at.detach().floor()
        first = low.remainder(size).long() if repeat else low.long()
        second = (first + 1) % size if repeat else (first + 1).clamp_max(size - 1)
        spans.append((first, second, (at - low)[..., None]))
    (x0, x1, fx), (y0, y1, fy) = spans
    top = image[y0, x0] + fx * (image[y0, x1] - image[y0, x0])
    bottom = image[y1, x0] + fx * (image[y1, x1] - image[y1, x0])
    return top + fy * (bottom - top)
