"""Builds scenes for the rich world's tracer from solids, which it places, joins softly, carves and paints.

Axes as in docs/conventions.md: y up, the front faces +z, the object's left is +x. Angles in degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.embedded.worlds.rich.materials import Material, Style, Triple

Floats = NDArray[np.float32]
Point = Sequence[float] | NDArray[Any]
CHANNELS = ("light", "albedo", "normal")  # three each, then coverage; csrc/include/sculpt.h
N_CHANNELS = 10
_SHAPES = ("ellipsoid", "box", "frustum", "torus", "cone", "prism", "triangle", "lathe")
_USES = ("add", "carve", "paint")
_PARAMS = 16
_NO_LENGTH = {"torus": {2}, "lathe": {0, 15}}
"""Sizes that are no lengths: angles and counts."""


def rotation(turn: Triple) -> Floats:
    """Part -> world: degrees about x, then y, then z."""
    matrix = np.eye(3)
    for axis, degrees in enumerate(turn):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
        matrix = step @ matrix
    return matrix.astype(np.float32)


def axes_along(y: NDArray[Any], toward: NDArray[Any]) -> Floats:
    """Part -> world: y is this unit vector, and z as near to ``toward``, which is not along it, as it can."""
    z = toward - float(toward @ y) * y
    z /= np.linalg.norm(z)
    return np.stack((np.cross(y, z), y, z), axis=1).astype(np.float32)


def upright(direction: NDArray[Any]) -> Floats:
    """Part -> world: a rotation that takes y to this direction and keeps z in front where it can."""
    y = direction / max(float(np.linalg.norm(direction)), 1e-9)
    along_z = 1 - y[2] ** 2 < 1e-6
    return axes_along(y, np.array([0, -math.copysign(1, y[2]), 0.0] if along_z else [0, 0, 1.0]))


def _between(a: Point, b: Point) -> tuple[Point, float, Floats]:
    """The middle of a line, half its length, and axes part -> world whose y lies along it."""
    a_, b_ = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return (a_ + b_) / 2, float(np.linalg.norm(b_ - a_)) / 2, upright(b_ - a_)


@dataclass(frozen=True)
class Frame:
    """Local -> outer: scale, then turn, then shift."""

    origin: Floats
    axes: Floats
    scale: float = 1.0

    @staticmethod
    def at(origin: Point = (0, 0, 0), turn: Triple = (0, 0, 0), scale: float = 1.0) -> Frame:
        return Frame(np.asarray(origin, np.float32), rotation(turn), scale)

    def __call__(self, point: Point) -> Floats:
        moved: Floats = self.axes @ np.asarray(point, np.float32) * self.scale + self.origin
        return moved

    def inside(self, other: Frame) -> Frame:
        """This frame, given in ``other``'s axes, in those that ``other`` is given in."""
        return Frame(other(self.origin), other.axes @ self.axes, self.scale * other.scale)


@dataclass(frozen=True)
class Part:
    """One solid, in world axes."""

    shape: str
    use: str
    group: int
    material: Material
    params: tuple[float, ...]
    center: Floats
    axes: Floats
    blend: float

    def moved(self, frame: Frame) -> Part:
        fixed = _NO_LENGTH.get(self.shape, set())
        params = tuple(x if i in fixed else x * frame.scale for i, x in enumerate(self.params))
        return replace(
            self,
            params=params,
            center=frame(self.center),
            axes=frame.axes @ self.axes,
            blend=self.blend * frame.scale,
        )

    def balls(self) -> Iterator[tuple[Floats, float]]:
        """Balls (centre, radius) whose hull holds the solid, nearly."""
        p = self.params
        local: list[tuple[Point, float]]
        if self.shape == "ellipsoid":
            local = [(tuple(np.asarray(d) * p[:3]), 0.0) for d in _DIRECTIONS]
        elif self.shape == "box":
            local = [((x * p[0], y * p[1], z * p[2]), 0.0) for x, y, z in _CORNERS]
        elif self.shape == "frustum":
            local = [((c * r, y, s * r), 0.0) for r, y in ((p[0], -p[2]), (p[1], p[2])) for c, s in _CIRCLE]
        elif self.shape == "torus":
            ring = [(c, s) for c, s in _CIRCLE if abs(math.atan2(c, s)) <= p[2] + 0.4]
            local = [((c * p[0], 0, s * p[0]), p[1]) for c, s in ring]
        elif self.shape == "cone":
            local = [((0, -p[2], 0), p[0]), ((0, p[2], 0), p[1])]
        elif self.shape == "prism":
            local = [((x * p[0], 0, z * p[2]), 0.0) for x, y, z in _CORNERS if y > 0]
            local += [((0, p[1], z * p[2]), 0.0) for z in (-1, 1)]
        elif self.shape == "triangle":
            local = [(p[i : i + 3], p[9]) for i in (0, 3, 6)]
        else:
            rims = [(p[2 + 2 * i], p[3 + 2 * i]) for i in range(int(p[0]))]
            local = [((c * r, y, s * r), p[1] + p[14]) for r, y in rims for c, s in _CIRCLE]
        for point, radius in local:
            yield self.center + self.axes @ np.asarray(point, np.float32), radius


_CIRCLE = [(math.cos(a), math.sin(a)) for a in np.arange(12) * math.pi / 6]
_CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
_DIRECTIONS = [
    tuple(np.asarray(d) / np.linalg.norm(d))
    for d in ((x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1))
    if any(d)
]


class Sculpture:
    """Parts in groups; each method adds one part in the frame, group and use that are set at the moment."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._frame, self._group, self._use, self._blend, self._groups = Frame.at(), 0, "add", 0.0, 1

    @contextmanager
    def frame(self, frame: Frame) -> Iterator[None]:
        """Parts are given in this frame, itself given in the present one."""
        before, self._frame = self._frame, frame.inside(self._frame)
        yield
        self._frame = before

    @contextmanager
    def group(self, blend: float = 0.0, number: int | None = None) -> Iterator[int]:
        """A surface of its own, whose parts melt together within ``blend``; or an earlier one again."""
        before = self._group, self._blend
        if number is None:
            number, self._groups = self._groups, self._groups + 1
        self._group, self._blend = number, blend
        yield number
        self._group, self._blend = before

    @contextmanager
    def carving(self, blend: float = 0.0) -> Iterator[None]:
        """The parts that follow are carved out of the group so far."""
        yield from self._using("carve", blend)

    @contextmanager
    def painting(self, soft: float = 0.008) -> Iterator[None]:
        """The parts that follow paint the group's surface, with an edge this soft."""
        yield from self._using("paint", soft)

    def _using(self, use: str, blend: float) -> Iterator[None]:
        before = self._use, self._blend
        self._use, self._blend = use, blend
        yield
        self._use, self._blend = before

    def _add(self, shape: str, params: Sequence[float], center: Point, axes: Floats, m: Material) -> None:
        padded = tuple(float(x) for x in params) + (0.0,) * (_PARAMS - len(params))
        part = Part(
            shape, self._use, self._group, m, padded, np.asarray(center, np.float32), axes, self._blend
        )
        self.parts.append(part.moved(self._frame))

    def ball(self, center: Point, radius: float, m: Material) -> None:
        self.ellipsoid(center, (radius, radius, radius), m)

    def ellipsoid(self, center: Point, radii: Triple, m: Material, turn: Triple = (0, 0, 0)) -> None:
        self._add("ellipsoid", radii, center, rotation(turn), m)

    def box(
        self,
        center: Point,
        half: Triple,
        m: Material,
        turn: Triple = (0, 0, 0),
        rounding: float = 0.02,
    ) -> None:
        self._add("box", (*half, min(rounding, *half)), center, rotation(turn), m)

    def frustum(
        self,
        center: Point,
        bottom: float,
        top: float,
        half: float,
        m: Material,
        turn: Triple = (0, 0, 0),
        rounding: float = 0.0,
    ) -> None:
        """A cylinder or a blunt cone along y."""
        self._add("frustum", (bottom, top, half, rounding), center, rotation(turn), m)

    def rod(self, a: Point, b: Point, radius: float, m: Material, end: float | None = None) -> None:
        """A cylinder with flat ends from a to b; ``end``: its radius at b."""
        middle, half, axes = _between(a, b)
        self._add("frustum", (radius, radius if end is None else end, half, 0.0), middle, axes, m)

    def torus(
        self,
        center: Point,
        ring: float,
        tube: float,
        m: Material,
        turn: Triple = (0, 0, 0),
        arc: float = 360.0,
    ) -> None:
        """A ring round y; with ``arc`` below 360 only its part round +z."""
        self._add("torus", (ring, tube, math.radians(arc / 2)), center, rotation(turn), m)

    def ring(self, at: Point, along: Point, ring: float, tube: float, m: Material) -> None:
        """A ring round a direction."""
        self._add("torus", (ring, tube, math.pi), at, upright(np.asarray(along, np.float32)), m)

    def limb(self, a: Point, b: Point, radius: float, m: Material, end: float | None = None) -> None:
        """Two balls at a and b and what lies between; ``end``: the radius at b."""
        middle, half, axes = _between(a, b)
        self._add("cone", (radius, radius if end is None else end, half), middle, axes, m)

    def capsule(
        self, center: Point, half: float, radius: float, m: Material, turn: Triple = (0, 0, 0)
    ) -> None:
        """Two balls on y, ``half`` from the centre each, and what lies between."""
        self._add("cone", (radius, radius, half), center, rotation(turn), m)

    def tube(self, points: Sequence[Point], radii: Sequence[float] | float, m: Material) -> None:
        """Limbs along a line of points."""
        r = [radii] * len(points) if isinstance(radii, float) else list(radii)
        for i in range(len(points) - 1):
            self.limb(points[i], points[i + 1], r[i], m, r[i + 1])

    def prism(self, center: Point, size: Triple, m: Material, turn: Triple = (0, 0, 0)) -> None:
        self._add("prism", size, center, rotation(turn), m)

    def triangle(self, a: Point, b: Point, c: Point, m: Material, thick: float = 0.006) -> None:
        corners = np.asarray((a, b, c), np.float32)
        middle = corners.mean(0)
        self._add("triangle", (*(corners - middle).ravel(), thick), middle, np.eye(3, dtype=np.float32), m)

    def sheet(self, corners: Sequence[Point], m: Material, thick: float = 0.006) -> None:
        """A flat polygon, as a fan of triangles round its first corner."""
        for b, c in pairwise(corners[1:]):
            self.triangle(corners[0], b, c, m, thick)

    def lathe(
        self,
        center: Point,
        profile: Sequence[tuple[float, float]],
        m: Material,
        thick: float = 0.012,
        turn: Triple = (0, 0, 0),
        waves: tuple[float, int] = (0.0, 0),
    ) -> None:
        """A sheet turned round y: two to six points (radius, height); ``waves``: height and number of a
        ruffle's."""
        assert 2 <= len(profile) <= 6
        flat = [x for point in profile for x in point]
        params = [len(profile), thick, *flat, *([0.0] * (12 - len(flat))), *waves]
        self._add("lathe", params, center, rotation(turn), m)

    def include(self, other: Sculpture, frame: Frame) -> None:
        """The parts of another sculpture, placed in a frame."""
        whole = frame.inside(self._frame)
        self.parts += [replace(part.moved(whole), group=part.group + self._groups) for part in other.parts]
        self._groups += other._groups

    def bounds(self) -> tuple[Floats, Floats]:
        """The least and the greatest corner."""
        balls = [ball for part in self.parts if part.use == "add" for ball in part.balls()]
        low = np.min([center - radius for center, radius in balls], axis=0)
        high = np.max([center + radius for center, radius in balls], axis=0)
        return low.astype(np.float32), high.astype(np.float32)

    def redressed(self, since: int, style: Style) -> None:
        """Change the materials of all parts from number ``since`` on."""
        for i in range(since, len(self.parts)):
            part = self.parts[i]
            self.parts[i] = replace(part, material=style(part.material, i - since))

    def fitted(self, radius: float = 0.94) -> list[Part]:
        """The parts, moved and scaled together into a ball round the origin."""
        balls = [ball for part in self.parts if part.use == "add" for ball in part.balls()]
        centers, radii = np.stack([c for c, _ in balls]), np.asarray([r for _, r in balls])
        low, high = (centers - radii[:, None]).min(0), (centers + radii[:, None]).max(0)
        middle = (low + high) / 2
        for step in range(1, 200):  # towards the farthest: the smallest ball that holds them all
            away = np.linalg.norm(centers - middle, axis=1) + radii
            far = int(away.argmax())
            middle = middle + (centers[far] - middle) * (0.5 / (step + 1))
        reach = float((np.linalg.norm(centers - middle, axis=1) + radii).max())
        scale = radius / reach
        frame = Frame((-middle * scale).astype(np.float32), np.eye(3, dtype=np.float32), scale)
        return [part.moved(frame) for part in self.parts]


def trace(parts: Sequence[Part], viewmats: Floats, Ks: Floats, size: int, supersample: int = 2) -> Floats:
    """Maps of a scene, [V, 10, size, size]: light, albedo and normal times coverage, coverage.

    Args:
        viewmats: [V,4,4]. Ks: [V,3,3], pixels. size: pixels. supersample: rays along a pixel's edge.
    """
    from sctd.ops._backend import native  # the tracer is native; the shapes themselves need nothing built

    materials = list(dict.fromkeys(part.material for part in parts))
    out = np.empty((len(viewmats), N_CHANNELS, size, size), np.float32)
    arrays = (
        *_solids(parts, materials),
        np.asarray([material.row() for material in materials], np.float32),
        np.ascontiguousarray(viewmats, np.float32),
        np.ascontiguousarray(Ks, np.float32),
        out,
    )
    addresses = [array.ctypes.data for array in arrays]
    native().sculpt(len(parts), len(viewmats), size, supersample, addresses)
    return out


def distance(parts: Sequence[Part], points: Floats) -> Floats:
    """Signed distances of points [N, 3] to the surface of a scene, [N], negative inside; exact where they
    are 0."""
    from sctd.ops._backend import native

    out = np.empty(len(points), np.float32)
    arrays = (*_solids(parts, []), np.ascontiguousarray(points, np.float32), out)
    native().solid_distance(len(parts), len(points), [array.ctypes.data for array in arrays])
    return out


def _solids(parts: Sequence[Part], materials: Sequence[Material]) -> tuple[NDArray[Any], ...]:
    """Kinds, sizes, places and blends of parts, in order of their groups, as the native core takes them."""
    parts = sorted(parts, key=lambda part: part.group)
    number = {material: i for i, material in enumerate(materials)}
    kind = [(_SHAPES.index(p.shape), _USES.index(p.use), p.group, number.get(p.material, 0)) for p in parts]
    return (
        np.asarray(kind, np.int32),
        np.asarray([part.params for part in parts], np.float32),
        np.asarray([(*part.axes.T.ravel(), *part.center) for part in parts], np.float32),
        np.asarray([part.blend for part in parts], np.float32),
    )
