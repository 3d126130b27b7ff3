"""The shapes of the embedded world: every kind as a union of a few solids, traced to linear light maps.

Axes as in docs/conventions.md: y up, the front faces +z, the object's left is +x; an object fits a ball of
radius 0.95.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sctd.embedded.words import SMALL

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]
CHANNELS = (
    "fixed_r",
    "fixed_g",
    "fixed_b",
    "body",
    "stripe",
    "spot",
    "shine",
    "coverage",
)  # csrc/include/trace.h
SHAPES = ("ellipsoid", "box", "frustum", "torus", "capsule", "prism")
PALETTE: dict[str, Triple] = {
    "dark": (0.10, 0.10, 0.12),
    "light": (0.93, 0.93, 0.90),
    "wood": (0.50, 0.32, 0.16),
    "cream": (0.88, 0.80, 0.62),
    "glass": (0.55, 0.78, 0.90),
    "metal": (0.58, 0.60, 0.64),
    "beak": (0.95, 0.60, 0.10),
    "leaf": (0.20, 0.55, 0.20),
    "clay": (0.72, 0.38, 0.22),
    "rose": (0.90, 0.45, 0.50),
}


@dataclass
class Scene:
    """A union of solids; each method adds one. ``material`` is a name of PALETTE, or "body" for the
    prompt's colour."""

    shapes: list[int] = field(default_factory=list)
    materials: list[int] = field(default_factory=list)
    params: list[tuple[float, ...]] = field(default_factory=list)
    rotations: list[Floats] = field(default_factory=list)
    centers: list[Triple] = field(default_factory=list)

    def _add(
        self, shape: str, params: tuple[float, ...], center: Triple, material: str, turn: Triple
    ) -> Scene:
        self.shapes.append(SHAPES.index(shape))
        self.materials.append(-1 if material == "body" else list(PALETTE).index(material))
        self.params.append(params + (0.0,) * (4 - len(params)))
        self.rotations.append(rotation(turn).T)  # world -> part
        self.centers.append(center)
        return self

    def ellipsoid(
        self, center: Triple, radii: Triple, material: str = "body", turn: Triple = (0, 0, 0)
    ) -> Scene:
        return self._add("ellipsoid", radii, center, material, turn)

    def ball(self, center: Triple, radius: float, material: str = "body") -> Scene:
        return self.ellipsoid(center, (radius, radius, radius), material)

    def box(
        self,
        center: Triple,
        half: Triple,
        material: str = "body",
        turn: Triple = (0, 0, 0),
        rounding: float = 0.03,
    ) -> Scene:
        return self._add("box", (*half, rounding), center, material, turn)

    def frustum(
        self,
        center: Triple,
        bottom: float,
        top: float,
        half_height: float,
        material: str = "body",
        turn: Triple = (0, 0, 0),
    ) -> Scene:
        return self._add("frustum", (bottom, top, half_height), center, material, turn)

    def torus(
        self, center: Triple, ring: float, tube: float, material: str = "body", turn: Triple = (0, 0, 0)
    ) -> Scene:
        return self._add("torus", (ring, tube), center, material, turn)

    def capsule(
        self,
        center: Triple,
        half_length: float,
        radius: float,
        material: str = "body",
        turn: Triple = (0, 0, 0),
    ) -> Scene:
        return self._add("capsule", (half_length, radius), center, material, turn)

    def prism(self, center: Triple, size: Triple, material: str = "body", turn: Triple = (0, 0, 0)) -> Scene:
        return self._add("prism", size, center, material, turn)

    def trace(self, viewmats: Floats, Ks: Floats, size: int, supersample: int = 2) -> Floats:
        """Light maps of this scene, [V, 8, size, size] (CHANNELS), for cameras viewmats [V,4,4] and Ks
        [V,3,3]."""
        from sctd.ops._backend import native  # the tracer is native; the shapes themselves need nothing built

        shapes, params, rotations, centers = self._arrays()
        arrays = (
            shapes,
            np.asarray(self.materials, np.int32),
            *(params, rotations, centers),
            np.asarray(list(PALETTE.values()), np.float32),
        )
        viewmats, Ks = np.ascontiguousarray(viewmats, np.float32), np.ascontiguousarray(Ks, np.float32)
        out = np.empty((len(viewmats), len(CHANNELS), size, size), np.float32)
        addresses = [array.ctypes.data for array in (*arrays, viewmats, Ks, out)]
        native().trace(len(self.shapes), len(viewmats), size, supersample, addresses)
        return out

    def distance(self, points: Floats) -> Floats:
        """Signed distances of points [N, 3] to the surface, [N], negative inside; exact where they are 0."""
        from sctd.ops._backend import native

        points = np.ascontiguousarray(points, np.float32)
        out = np.empty(len(points), np.float32)
        arrays = (*self._arrays(), points, out)
        native().scene_distance(len(self.shapes), len(points), [array.ctypes.data for array in arrays])
        return out

    def _arrays(self) -> tuple[NDArray[np.int32], Floats, Floats, Floats]:
        """Shapes, sizes, rotations and centres as the native core takes them."""
        return (
            np.asarray(self.shapes, np.int32),
            np.asarray(self.params, np.float32),
            np.ascontiguousarray(np.stack(self.rotations), np.float32),
            np.asarray(self.centers, np.float32),
        )


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


def scene_of(kind: str) -> Scene:
    """The shape of a kind of sctd.embedded.world.KINDS."""
    scene = Scene()
    _BUILDERS[kind](scene)
    return scene


def _airplane(s: Scene) -> None:
    s.capsule((0, 0, 0.02), 0.58, 0.19, turn=(90, 0, 0))
    s.box((0, -0.02, 0.10), (0.84, 0.045, 0.20), "body")
    s.box((0, 0.05, -0.64), (0.36, 0.04, 0.12), "body")
    s.box((0, 0.25, -0.64), (0.04, 0.24, 0.13), "body")
    s.ellipsoid((0, 0.15, 0.36), (0.12, 0.12, 0.22), "glass")
    s.ball((0, 0, 0.78), 0.10, "metal")
    for x in (-0.42, 0.42):
        s.capsule((x, -0.08, 0.20), 0.14, 0.085, "metal", (90, 0, 0))


def _bear(s: Scene) -> None:
    s.ellipsoid((0, -0.20, 0), (0.36, 0.40, 0.32)).ellipsoid((0, -0.20, 0.16), (0.22, 0.27, 0.20), "cream")
    s.ball((0, 0.38, 0.03), 0.31).ellipsoid((0, 0.30, 0.28), (0.14, 0.11, 0.12), "cream")
    s.ball((0, 0.35, 0.39), 0.055, "dark")
    for side in (-1, 1):
        s.ball((0.25 * side, 0.63, 0), 0.13).ball((0.12 * side, 0.45, 0.29), 0.05, "dark")
        s.capsule((0.40 * side, -0.08, 0.08), 0.16, 0.12, turn=(-25, 0, 40 * side))
        s.capsule((0.24 * side, -0.58, 0.16), 0.12, 0.15, turn=(70, 0, 0))


def _boat(s: Scene) -> None:
    s.ellipsoid((0, -0.38, 0), (0.34, 0.26, 0.80)).box((0, -0.20, 0), (0.20, 0.04, 0.55), "wood")
    s.capsule((0, 0.25, 0.05), 0.50, 0.045, "wood")
    s.prism((0, -0.02, -0.08), (0.42, 0.74, 0.03), "light", (0, 90, 0))
    s.box((0, -0.06, -0.45), (0.17, 0.14, 0.16), "body")
    s.ball((0, -0.27, 0.76), 0.09, "beak")


def _wheels(s: Scene, positions: tuple[float, ...], y: float, radius: float, x: float) -> None:
    for z in positions:
        for side in (-1, 1):
            s.frustum((x * side, y, z), radius, radius, 0.08, "dark", (0, 0, 90))
            s.frustum((x * side, y, z), radius * 0.5, radius * 0.5, 0.09, "light", (0, 0, 90))


def _car(s: Scene) -> None:
    s.box((0, -0.16, 0), (0.38, 0.18, 0.82), rounding=0.10)
    s.box((0, 0.14, -0.14), (0.32, 0.20, 0.44), "glass", rounding=0.12)
    s.box((0, 0.30, -0.14), (0.29, 0.06, 0.38), rounding=0.05)
    for side in (-1, 1):
        s.ball((0.24 * side, -0.12, 0.79), 0.085, "cream").box(
            (0.26 * side, -0.12, -0.81), (0.08, 0.05, 0.03), "rose"
        )
    _wheels(s, (-0.48, 0.48), -0.34, 0.20, 0.34)


def _cat(s: Scene) -> None:
    s.ellipsoid((0, -0.26, -0.08), (0.30, 0.42, 0.36)).ellipsoid(
        (0, -0.24, 0.16), (0.17, 0.28, 0.16), "light"
    )
    s.ellipsoid((0, 0.30, 0.10), (0.32, 0.28, 0.28)).ball((0, 0.25, 0.38), 0.045, "rose")
    s.capsule((0.22, -0.42, -0.52), 0.26, 0.075, turn=(-40, 0, -25))
    for side in (-1, 1):
        s.frustum((0.20 * side, 0.60, 0.06), 0.13, 0.01, 0.14, turn=(0, 0, -14 * side))
        s.ellipsoid((0.13 * side, 0.36, 0.34), (0.055, 0.07, 0.04), "leaf")
        s.capsule((0.14 * side, -0.55, 0.24), 0.10, 0.09, turn=(20, 0, 0))


def _chair(s: Scene) -> None:
    s.box((0, -0.10, 0.02), (0.42, 0.08, 0.40)).box((0, 0.38, -0.34), (0.42, 0.44, 0.07))
    for x in (-0.34, 0.34):
        for z in (-0.30, 0.32):
            s.frustum((x, -0.46, z), 0.065, 0.075, 0.32, "wood")


def _duck(s: Scene) -> None:
    s.ellipsoid((0, -0.26, -0.06), (0.42, 0.34, 0.56)).frustum(
        (0, -0.02, -0.58), 0.20, 0.02, 0.20, turn=(-50, 0, 0)
    )
    s.ball((0, 0.28, 0.26), 0.30).ellipsoid((0, 0.20, 0.60), (0.16, 0.06, 0.19), "beak")
    for side in (-1, 1):
        s.ball((0.15 * side, 0.38, 0.48), 0.06, "dark")
        s.ellipsoid((0.40 * side, -0.18, -0.10), (0.09, 0.18, 0.32))


def _house(s: Scene) -> None:
    s.box((0, -0.26, 0), (0.52, 0.36, 0.46), rounding=0.01)
    s.prism((0, 0.08, 0), (0.66, 0.52, 0.56)).box((0.30, 0.44, -0.2), (0.09, 0.22, 0.09), "clay")
    s.box((0, -0.36, 0.46), (0.12, 0.26, 0.03), "wood")
    for side in (-1, 1):
        s.box((0.32 * side, -0.16, 0.46), (0.10, 0.12, 0.02), "glass", rounding=0.01)
        s.box((0.52 * side, -0.16, 0.0), (0.02, 0.12, 0.16), "glass", rounding=0.01)


def _penguin(s: Scene) -> None:
    s.ellipsoid((0, -0.12, 0), (0.38, 0.56, 0.34)).ellipsoid((0, -0.16, 0.15), (0.27, 0.44, 0.22), "light")
    s.ball((0, 0.48, 0.02), 0.27).frustum((0, 0.44, 0.36), 0.09, 0.01, 0.12, "beak", (90, 0, 0))
    for side in (-1, 1):
        s.ball((0.11 * side, 0.55, 0.24), 0.06, "light").ball((0.11 * side, 0.55, 0.29), 0.03, "dark")
        s.ellipsoid((0.42 * side, -0.08, 0), (0.08, 0.34, 0.16), turn=(0, 0, 16 * side))
        s.ellipsoid((0.18 * side, -0.68, 0.14), (0.15, 0.06, 0.22), "beak")


def _rabbit(s: Scene) -> None:
    s.ellipsoid((0, -0.34, -0.06), (0.34, 0.36, 0.40)).ball((0, -0.42, -0.48), 0.14, "light")
    s.ellipsoid((0, 0.14, 0.14), (0.26, 0.25, 0.27)).ball((0, 0.10, 0.41), 0.045, "rose")
    for side in (-1, 1):
        s.ellipsoid((0.13 * side, 0.58, 0.06), (0.09, 0.30, 0.07), turn=(0, 0, -8 * side))
        s.ellipsoid((0.13 * side, 0.58, 0.11), (0.045, 0.22, 0.04), "rose", (0, 0, -8 * side))
        s.ball((0.14 * side, 0.20, 0.34), 0.05, "dark")
        s.ellipsoid((0.18 * side, -0.64, 0.22), (0.12, 0.09, 0.22))


def _robot(s: Scene) -> None:
    s.box((0, -0.10, 0), (0.36, 0.36, 0.26)).box((0, 0.46, 0), (0.28, 0.20, 0.24))
    s.box((0, -0.06, 0.26), (0.20, 0.16, 0.02), "dark").capsule((0, 0.76, 0), 0.10, 0.04, "metal")
    s.ball((0, 0.88, 0), 0.065, "beak")
    for side in (-1, 1):
        s.frustum((0.12 * side, 0.50, 0.25), 0.075, 0.075, 0.03, "cream", (90, 0, 0))
        s.box((0.46 * side, -0.12, 0), (0.08, 0.32, 0.11), "metal")
        s.box((0.17 * side, -0.66, 0.03), (0.13, 0.22, 0.16), "metal")


def _snowman(s: Scene) -> None:
    s.ball((0, -0.46, 0), 0.42).ball((0, 0.10, 0), 0.31).ball((0, 0.50, 0), 0.22)
    s.frustum((0, 0.48, 0.30), 0.06, 0.005, 0.14, "beak", (90, 0, 0))
    s.frustum((0, 0.68, 0), 0.30, 0.30, 0.025, "dark").frustum((0, 0.80, 0), 0.19, 0.19, 0.12, "dark")
    for y in (0.20, 0.04):
        s.ball((0, y, 0.31 - 0.1 * abs(y - 0.1)), 0.05, "dark")
    for side in (-1, 1):
        s.ball((0.09 * side, 0.56, 0.20), 0.04, "dark")
        s.capsule((0.46 * side, 0.20, 0), 0.22, 0.035, "wood", (0, 0, -58 * side))


def _sofa(s: Scene) -> None:
    s.box((0, -0.30, 0.06), (0.74, 0.20, 0.38), rounding=0.06).box(
        (0, 0.08, -0.32), (0.74, 0.42, 0.13), rounding=0.08
    )
    for side in (-1, 1):
        s.box((0.74 * side, -0.14, 0.05), (0.13, 0.28, 0.42), rounding=0.10)
        s.box((0.32 * side, -0.08, 0.14), (0.29, 0.07, 0.29), "cream", rounding=0.06)
        for z in (-0.3, 0.36):
            s.frustum((0.66 * side, -0.54, z), 0.05, 0.06, 0.07, "wood")


def _truck(s: Scene) -> None:
    s.box((0, 0.14, -0.22), (0.38, 0.40, 0.56)).box((0, -0.04, 0.54), (0.36, 0.28, 0.24), rounding=0.06)
    s.box((0, 0.08, 0.64), (0.30, 0.13, 0.155), "glass", rounding=0.04)
    s.box((0, -0.34, 0.02), (0.34, 0.08, 0.80), "dark")
    s.box((0, 0.18, -0.22), (0.395, 0.20, 0.38), "light").box((0, 0.14, -0.79), (0.28, 0.30, 0.015), "light")
    for side in (-1, 1):
        s.ball((0.25 * side, -0.18, 0.78), 0.06, "cream")
    _wheels(s, (-0.54, 0.52), -0.44, 0.18, 0.34)


def _apple(s: Scene) -> None:
    s.torus((0, 0.12, 0), 0.26, 0.36).ellipsoid((0, -0.12, 0), (0.56, 0.54, 0.56))
    s.capsule((0.03, 0.52, 0), 0.20, 0.045, "wood", (0, 0, -12))
    s.ellipsoid((0.22, 0.62, 0), (0.20, 0.05, 0.10), "leaf", (0, 0, 24))


def _ball(s: Scene) -> None:
    s.ball((0, 0, 0), 0.72)


def _cactus(s: Scene) -> None:
    s.frustum((0, -0.62, 0), 0.26, 0.34, 0.20, "clay").torus((0, -0.43, 0), 0.33, 0.06, "clay")
    s.capsule((0, 0.12, 0), 0.52, 0.20)
    for side, y in ((-1, 0.0), (1, 0.16)):
        s.capsule((0.30 * side, y, 0), 0.14, 0.11, turn=(0, 0, 90)).capsule(
            (0.46 * side, y + 0.18, 0), 0.18, 0.11
        )


def _cone(s: Scene) -> None:
    s.frustum((0, 0.05, 0), 0.42, 0.07, 0.70).box((0, -0.68, 0), (0.50, 0.07, 0.50))
    s.frustum((0, 0.10, 0), 0.338, 0.240, 0.15, "light")


def _cube(s: Scene) -> None:
    s.box((0, 0, 0), (0.52, 0.52, 0.52), rounding=0.05)


def _donut(s: Scene) -> None:
    s.torus((0, 0.05, 0), 0.50, 0.26).torus((0, -0.06, 0), 0.50, 0.265, "cream")


def _ice_cream(s: Scene) -> None:
    s.frustum((0, -0.34, 0), 0.02, 0.36, 0.50, "clay").ball((0, 0.26, 0), 0.42)
    s.torus((0, 0.14, 0), 0.34, 0.10).ball((0, 0.72, 0), 0.11, "rose")


def _lamp(s: Scene) -> None:
    s.frustum((0, 0.36, 0), 0.52, 0.28, 0.34).frustum((0, -0.72, 0), 0.36, 0.30, 0.06, "metal")
    s.capsule((0, -0.30, 0), 0.42, 0.06, "metal")


def _mug(s: Scene) -> None:
    s.frustum((-0.08, -0.02, 0), 0.46, 0.50, 0.56).frustum((-0.08, 0.52, 0), 0.42, 0.42, 0.03, "wood")
    s.torus((0.46, 0, 0), 0.26, 0.075, turn=(90, 0, 0))


def _mushroom(s: Scene) -> None:
    s.frustum((0, -0.40, 0), 0.27, 0.20, 0.38, "cream").ellipsoid((0, 0.14, 0), (0.74, 0.44, 0.74))
    s.frustum((0, -0.10, 0), 0.62, 0.66, 0.22, "cream").ellipsoid((0, 0.18, 0), (0.76, 0.46, 0.76))


def _rocket(s: Scene) -> None:
    s.ellipsoid((0, 0.02, 0), (0.30, 0.82, 0.30)).frustum((0, 0.66, 0), 0.21, 0.01, 0.24, "metal")
    s.frustum((0, -0.72, 0), 0.24, 0.16, 0.12, "dark").ball((0, 0.22, 0.24), 0.13, "glass")
    s.ball((0, 0.22, -0.24), 0.13, "glass")
    for turn in (0, 90, 180, 270):
        angle = math.radians(turn + 45)
        center = (0.36 * math.sin(angle), -0.58, 0.36 * math.cos(angle))
        s.box(center, (0.04, 0.24, 0.20), "metal", (0, turn + 45, 0))


def _table(s: Scene) -> None:
    s.box((0, 0.26, 0), (0.80, 0.08, 0.52))
    for x in (-0.66, 0.66):
        for z in (-0.38, 0.38):
            s.frustum((x, -0.20, z), 0.075, 0.09, 0.42, "wood")


def _tree(s: Scene) -> None:
    s.frustum((0, -0.70, 0), 0.14, 0.12, 0.18, "wood")
    for y, radius in ((-0.32, 0.60), (0.08, 0.47), (0.48, 0.34)):
        s.frustum((0, y, 0), radius, 0.02, 0.34)


def _vase(s: Scene) -> None:
    s.ellipsoid((0, -0.22, 0), (0.46, 0.50, 0.46)).frustum((0, 0.34, 0), 0.20, 0.17, 0.28)
    s.frustum((0, 0.68, 0), 0.17, 0.33, 0.10).frustum((0, 0.78, 0), 0.28, 0.28, 0.015, "dark")
    s.frustum((0, -0.72, 0), 0.28, 0.24, 0.06)


_BUILDERS: dict[str, Callable[[Scene], None]] = {
    "airplane": _airplane,
    "bear": _bear,
    "boat": _boat,
    "car": _car,
    "cat": _cat,
    "chair": _chair,
    "duck": _duck,
    "house": _house,
    "penguin": _penguin,
    "rabbit": _rabbit,
    "robot": _robot,
    "snowman": _snowman,
    "sofa": _sofa,
    "truck": _truck,
    "apple": _apple,
    "ball": _ball,
    "cactus": _cactus,
    "cone": _cone,
    "cube": _cube,
    "donut": _donut,
    "ice cream": _ice_cream,
    "lamp": _lamp,
    "mug": _mug,
    "mushroom": _mushroom,
    "rocket": _rocket,
    "table": _table,
    "tree": _tree,
    "vase": _vase,
}
assert set(_BUILDERS) == set(SMALL.kinds), "every kind has one shape"
