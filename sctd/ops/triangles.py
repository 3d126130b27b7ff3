"""The differentiable triangle rasterizer: four ops that a caller puts together.

    fragments = rasterize(vertices, faces, height, width)            which face a pixel shows; no gradient
    colors    = interpolate(attributes, vertices, faces, fragments)  attributes of vertices, at pixels
    colors    = texture(image, uv)                                   texels, at places interpolated before
    picture   = edge_gradient(picture, vertices, faces, fragments)   as it is; its edges get a gradient

Vertices are in clip space, [C, V, 4], as :func:`clip_space` makes them: (x, y, z, w) is seen at the pixel
((x/w + 1) W/2, (y/w + 1) H/2), x right, y down, pixel centres at +0.5; z/w is the depth, smaller is nearer.
Between ops a caller may compute with the pictures whatever is differentiable: shade, multiply, blend with a
background where ``fragments.covered`` is False. ``edge_gradient`` comes last before pixels are mixed (before
downsampling or blurring), on the picture that the loss sees, background in place; the vertices that it moves
are those that were rasterized.

Every op has a definition in plain torch, :mod:`sctd.ops.reference_triangles`; formulas and their derivation
stand in csrc/include/triangle.h. Results and gradients on a CPU are the same bits for any number of threads,
and ``rasterize`` gives the same bits on every processor and backend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError, TooLarge
from sctd.ops import reference_triangles as reference
from sctd.ops._backend import choose
from sctd.ops._checks import check_same, check_shape
from sctd.ops._raster_checks import at_least

MAX_SIZE = 1 << 15
"""Largest picture edge, pixels: pixel centres stay exact."""
MAX_FACES = (2**31 - 1) // 3
WRAPS = ("repeat", "clamp")
KERNELS = ("cpu", "cuda", "cuda-simt", "cuda-ptx")


@dataclass(frozen=True, eq=False)
class Topology:
    """Faces that have been checked, and what the gradients need of them; made once for many pictures.

    Every op accepts one in place of ``faces``; given a tensor, it makes one at each call.
    """

    faces: Tensor
    """[F, 3] int32, contiguous."""
    vertices: int
    _lists: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def lists(self, backend: str) -> tuple[Tensor, Tensor]:
        """The corners that meet in each vertex, made at the first call: starts [V + 1], corners [3 F]."""
        from sctd.ops._triangle_ops import core

        if backend not in self._lists:
            self._lists[backend] = core(backend).corner_lists(self.faces, self.vertices)
        return self._lists[backend]


def topology(faces: Tensor, vertices: int) -> Topology:
    """Check faces [F, 3] over so many vertices.

    Any mesh is allowed: open, not manifold, with repeated faces or equal corners (a face without area is
    never seen).

    Raises:
        InputError: not of integers, of another shape, or an index is not in 0 .. vertices - 1.
        TooLarge: more than ``MAX_FACES`` faces.
    """
    if not isinstance(faces, Tensor) or faces.dtype not in (torch.int32, torch.int64):
        kind = faces.dtype if isinstance(faces, Tensor) else type(faces).__name__
        raise InputError(f"faces must be a tensor of int32 or int64; got {kind}")
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise InputError(f"faces must have shape [F, 3]; got {list(faces.shape)}")
    if len(faces) > MAX_FACES:
        raise TooLarge(f"at most {MAX_FACES} faces; got {len(faces)}")
    if faces.numel():
        low, high = (int(t) for t in faces.aminmax())
        if low < 0 or high >= vertices:
            bad = low if low < 0 else high
            raise InputError(f"faces must hold indices in 0..{vertices - 1}; got {bad}")
    return Topology(faces.detach().to(torch.int32).contiguous(), vertices)


@dataclass(frozen=True, eq=False)
class Fragments:
    """What :func:`rasterize` found at every pixel."""

    triangles: Tensor
    """[C, H, W] int32: the face that is seen, -1 where none is."""
    barycentrics: Tensor
    """[C, H, W, 3], >= 0: perspective-correct weights of the face's corners, sum 1; 0 where none is seen."""
    depth: Tensor
    """[C, H, W]: z/w of the point that is seen, 0 where none is."""
    drawn: int = field(default=-1, repr=False)
    """Faces that it was made with; -1: made by hand, and looked through by every op."""

    @property
    def covered(self) -> Tensor:
        """[C, H, W] bool: whether a face is seen."""
        return self.triangles >= 0


def clip_space(
    points: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near: float = 0.01,
    far: float = 100.0,
) -> Tensor:
    """World points on C cameras, to clip space: [C, V, 4]; differentiable in points and viewmats.

    Args:
        points: [V, 3], world units.
        viewmats: world to camera, [C, 4, 4], OpenCV axes (x right, y down, z forward).
        Ks: [C, 3, 3], pixels; skew is not used.
        width, height: of the picture, pixels.
        near, far: camera z that become depths -1 and 1, world units. Nearer than ``near`` is cut off; beyond
            ``far`` is drawn all the same, with depths above 1.

    Raises:
        InputError: shapes do not fit, or not 0 < near < far.
    """
    if not 0 < near < far:
        raise InputError(f"near and far must be 0 < near < far; got {near} and {far}")
    if points.dim() != 2 or points.shape[1] != 3:
        raise InputError(f"points must have shape [V, 3]; got {list(points.shape)}")
    cameras = len(viewmats)
    check_shape("viewmats", viewmats, (cameras, 4, 4))
    check_shape("Ks", Ks, (cameras, 3, 3), meaning=", one per camera")
    seen = points @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth = seen[..., 2]
    x, y = (
        2 * (Ks[:, i, i, None] * seen[..., i] + Ks[:, i, 2, None] * depth) / size - depth
        for i, size in enumerate((width, height))
    )
    z = (far + near) / (far - near) * depth - 2 * far * near / (far - near)
    return torch.stack([x, y, z, depth], -1)


def rasterize(
    vertices: Tensor, faces: Tensor | Topology, height: int, width: int, *, backend: str = "auto"
) -> Fragments:
    """Find the nearest face at the centre of every pixel. No gradient.

    A pixel belongs to a face if its centre is inside, or on a left or top edge: a pixel of a closed surface
    belongs to exactly one of the faces that share an edge. Both sides of a face are seen. What is nearer
    than depth -1 (z < -w) or behind the camera is cut off; nothing is cut at depth 1. Of equal depths the
    face with the lower number is seen. Faces without area, or seen exactly from their edge, are not.

    Args:
        vertices: clip space, [C, V, 4], float32 or float64.
        faces: [F, 3] int32 or int64, or a :class:`Topology`; F may be 0.
        height, width: of the picture, 1..32768 pixels.
        backend: "auto", "cpu" (C++), "cuda", "cuda-simt" (the CUDA kernels emulated, for tests) or
            "reference" (plain torch, slow). The CUDA kernels compute in float32.

    Raises:
        InputError: a shape, dtype or index does not fit, or a vertex is not finite (looked at on a CPU; on
            other devices, where looking would wait, faces of such vertices are not drawn).
        BackendUnavailable: the backend cannot run here.
    """
    height, width = at_least(1, "height", height, " pixel"), at_least(1, "width", width, " pixel")
    if max(height, width) > MAX_SIZE:
        raise TooLarge(f"a picture is at most {MAX_SIZE} pixels wide and high; got {width} x {height}")
    _check_vertices(vertices)
    mesh = _checked_faces(faces, vertices)
    if vertices.device.type == "cpu" and not _finite(vertices):
        camera, vertex = (~vertices.isfinite()).any(-1).nonzero()[0].tolist()
        values = vertices[camera, vertex].tolist()
        raise InputError(f"vertices must be finite; vertex {vertex} of camera {camera} is {values}")
    chosen = choose(backend, vertices, KERNELS)
    if chosen == "reference":
        found = reference.rasterize(vertices, mesh.faces, height, width)
    else:
        from sctd.ops import _triangle_ops as native

        found = native.rasterize(vertices, mesh.faces, height, width, chosen)
    return Fragments(*found, drawn=len(mesh.faces))


def interpolate(
    attributes: Tensor,
    vertices: Tensor,
    faces: Tensor | Topology,
    fragments: Fragments,
    *,
    backend: str = "auto",
) -> Tensor:
    """Attributes of vertices at the pixels: [C, H, W, D], 0 where no face is seen.

    Differentiable in the attributes, and in the vertices: a fragment keeps its pixel, and a vertex that moves
    changes the weights there. That is the gradient inside of faces; :func:`edge_gradient` has that of their
    edges. Attributes may be anything that is affine over a face in space: colours, uv, positions, normals (to
    be normalised after), camera z.

    Args:
        attributes: [V, D], or [C, V, D] for each camera its own; of the vertices' dtype.
        vertices, faces: those that were rasterized.
        fragments: of :func:`rasterize`.
        backend: as in :func:`rasterize`.

    Raises:
        InputError: a shape, dtype or device does not fit.
        BackendUnavailable: the backend cannot run here.
        Unsupported: second derivatives, which the backend "reference" alone has.
    """
    mesh = _check_drawn(vertices, faces, fragments)
    c, v = vertices.shape[:2]
    last = attributes.shape[-1] if attributes.dim() else 0
    check_shape("attributes", attributes, (v, last), (c, v, last))
    check_same("vertices", vertices, attributes=attributes)
    chosen = choose(backend, vertices, KERNELS)
    if chosen == "reference":
        return reference.interpolate(attributes, vertices, mesh.faces, fragments.triangles)
    from sctd.ops._triangle_ops import Interpolate

    return _apply(
        Interpolate, attributes, vertices, mesh, fragments.triangles, fragments.barycentrics, chosen
    )


def texture(image: Tensor, uv: Tensor, wrap: str = "repeat", *, backend: str = "auto") -> Tensor:
    """Bilinear lookup: [..., D]. Differentiable in the texels and in uv.

    Texel (i, j), column and row, is centred at uv = ((i + 0.5) / W, (j + 0.5) / H): v goes down, as in glTF.
    Pixels without a face have uv 0 after :func:`interpolate` and read the texture's corner: replace them by
    the background afterwards, and neither they nor that corner get a gradient. There are no mipmaps: minified
    textures need a larger picture.

    Args:
        image: texels, [H, W, D], each edge 1..32768, float32 or float64.
        uv: places, [..., 2], any number.
        wrap: "repeat", or "clamp" to the outermost texels' centres; where it clamps, uv gets no gradient.
        backend: as in :func:`rasterize`.

    Raises:
        InputError: a shape, dtype or the wrap does not fit. A place that is not finite reads a value that is
            not finite.
        BackendUnavailable: the backend cannot run here.
        Unsupported: second derivatives, which the backend "reference" alone has.
    """
    if wrap not in WRAPS:
        raise InputError(f"wrap must be one of {', '.join(WRAPS)}; got {wrap!r}")
    if image.dim() != 3 or not (1 <= image.shape[0] <= MAX_SIZE and 1 <= image.shape[1] <= MAX_SIZE):
        raise InputError(
            f"image must have shape [H, W, D], H and W in 1..{MAX_SIZE}; got {list(image.shape)}"
        )
    if uv.dim() < 1 or uv.shape[-1] != 2:
        raise InputError(f"uv must have shape [..., 2]; got {list(uv.shape)}")
    check_same("image", image, uv=uv)
    chosen = choose(backend, image, KERNELS)
    if chosen == "reference":
        return reference.texture(image, uv, wrap == "repeat")
    from sctd.ops._triangle_ops import Texture

    return _apply(Texture, image, uv, wrap == "repeat", chosen)


def edge_gradient(
    image: Tensor,
    vertices: Tensor,
    faces: Tensor | Topology,
    fragments: Fragments,
    *,
    backend: str = "auto",
) -> Tensor:
    """The image, unchanged; the backward pass adds the gradient of its edges to that of the vertices.

    Neighbouring pixels that show different surfaces have an edge between them. The gradient of moving that
    edge goes to the surface in front, or to both where they intersect (Pidhorskyi et al. 2024, "Rasterized
    Edge Gradients"; derived in csrc/include/edges.h). Faces that share a vertex are one surface, so meshes of
    any topology will do. A picture is right where the faces are larger than a pixel.

    Args:
        image: [C, H, W, D], the picture that ``fragments`` became, of the vertices' dtype.
        vertices, faces: those that were rasterized.
        fragments: of :func:`rasterize`.
        backend: as in :func:`rasterize`.

    Raises:
        InputError: a shape, dtype or device does not fit.
        BackendUnavailable: the backend cannot run here.
        Unsupported: second derivatives.
    """
    mesh = _check_drawn(vertices, faces, fragments)
    size = tuple(fragments.triangles.shape)
    check_shape("image", image, (*size, image.shape[-1] if image.dim() else 0), meaning=", as the fragments")
    check_same("vertices", vertices, image=image)
    chosen = choose(backend, vertices, KERNELS)
    found = (fragments.triangles, fragments.barycentrics)
    if chosen == "reference":
        return reference.edge_gradient(image, vertices, mesh.faces, *found)
    if not (vertices.requires_grad and torch.is_grad_enabled()):
        return image
    from sctd.ops._triangle_ops import EdgeGradient

    return _apply(EdgeGradient, image, vertices, mesh, *found, chosen)


def _apply(function: Any, *inputs: Any) -> Tensor:
    out: Tensor = function.apply(*inputs)
    return out


def _finite(tensor: Tensor) -> bool:
    """One pass: with an infinity or a NaN no sum is finite; without, that of large numbers may not be."""
    tensor = tensor.detach()
    return isfinite(tensor.sum().item()) or bool(tensor.isfinite().all())


def _check_vertices(vertices: Tensor) -> None:
    if vertices.dim() != 3 or vertices.shape[0] < 1 or vertices.shape[2] != 4:
        raise InputError(f"vertices must have shape [C, V, 4] with C >= 1; got {list(vertices.shape)}")
    check_same("vertices", vertices)


def _checked_faces(faces: Tensor | Topology, vertices: Tensor) -> Topology:
    mesh = faces if isinstance(faces, Topology) else topology(faces, vertices.shape[1])
    if mesh.vertices != vertices.shape[1]:
        raise InputError(f"the topology is of {mesh.vertices} vertices; got {vertices.shape[1]}")
    if mesh.faces.device != vertices.device:
        raise InputError(
            f"faces must be on the device of vertices, {vertices.device}; got {mesh.faces.device}"
        )
    return mesh


def _check_drawn(vertices: Tensor, faces: Tensor | Topology, fragments: Fragments) -> Topology:
    """The faces, when fragments fit them and the vertices."""
    _check_vertices(vertices)
    mesh = _checked_faces(faces, vertices)
    triangles, size = fragments.triangles, tuple(fragments.triangles.shape)
    if triangles.dim() != 3 or size[0] != vertices.shape[0]:
        raise InputError(
            f"the fragments must be those of {vertices.shape[0]} cameras; got triangles {list(size)}"
        )
    if triangles.dtype != torch.int32 or triangles.device != vertices.device:
        raise InputError(f"fragments.triangles must be int32 on {vertices.device}")
    check_shape("fragments.barycentrics", fragments.barycentrics, (*size, 3))
    check_same("vertices", vertices, barycentrics=fragments.barycentrics)
    count = len(mesh.faces)
    if fragments.drawn == -1 and triangles.numel() and int(triangles.max()) >= count:
        raise InputError(f"fragments show face {int(triangles.max())}; there are {count} faces")
    if fragments.drawn not in (-1, count):
        raise InputError(f"the fragments were drawn with {fragments.drawn} faces; got {count}")
    return mesh
