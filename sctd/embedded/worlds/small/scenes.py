"""The shapes of the small world: every kind as a union of a few solids, traced to linear light maps.

An object fits a ball of radius 0.95.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sctd.embedded.worlds.rich import everyday
from sctd.embedded.worlds.rich.everyday import BEAK, CLAY, ROSE, ROUND, wheels
from sctd.embedded.worlds.rich.materials import CREAM, DARK, LEAF, LIGHT, STEEL, WINDOW, WOOD, Material, plain
from sctd.embedded.worlds.rich.sculpture import Part, Sculpture
from sctd.embedded.worlds.small.words import SMALL

Floats = NDArray[np.float32]
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
SHAPES = ("ellipsoid", "box", "frustum", "torus", "cone", "prism")
PALETTE = {
    DARK: (0.10, 0.10, 0.12),
    LIGHT: (0.93, 0.93, 0.90),
    WOOD: (0.50, 0.32, 0.16),
    CREAM: (0.88, 0.80, 0.62),
    WINDOW: (0.55, 0.78, 0.90),
    STEEL: (0.58, 0.60, 0.64),
    BEAK: (0.95, 0.60, 0.10),
    LEAF: (0.20, 0.55, 0.20),
    CLAY: (0.72, 0.38, 0.22),
    ROSE: (0.90, 0.45, 0.50),
}
"""What is not the body => its RGB, 0..1."""
BODY = plain((1, 0, 1))
"""Stands for the prompt's colour."""


@dataclass(frozen=True)
class Scene:
    """A union of solids as the native tracer takes them (csrc/include/trace.h)."""

    shapes: NDArray[np.int32]
    """[P], index into SHAPES."""
    materials: NDArray[np.int32]
    """[P], row of PALETTE; -1: the body."""
    params: Floats
    """[P, 4], sizes."""
    rotations: Floats
    """[P, 3, 3], world -> part."""
    centers: Floats
    """[P, 3]."""

    @staticmethod
    def of(sculpture: Sculpture) -> Scene:
        """The solids of a sculpture, of BODY and materials of PALETTE."""
        parts, names = sculpture.parts, [BODY, *PALETTE]
        return Scene(
            np.array([SHAPES.index(part.shape) for part in parts], np.int32),
            np.array([names.index(part.material) - 1 for part in parts], np.int32),
            np.array([_sizes(part) for part in parts], np.float32),
            np.stack([part.axes.T for part in parts]),
            np.stack([part.center for part in parts]),
        )

    def trace(self, viewmats: Floats, Ks: Floats, size: int, supersample: int = 2) -> Floats:
        """Light maps of this scene, [V, 8, size, size] (CHANNELS), for cameras viewmats [V,4,4] and Ks
        [V,3,3]."""
        from sctd.ops._backend import native  # the tracer is native; the shapes themselves need nothing built

        palette = np.asarray(list(PALETTE.values()), np.float32)
        viewmats, Ks = np.ascontiguousarray(viewmats, np.float32), np.ascontiguousarray(Ks, np.float32)
        out = np.empty((len(viewmats), len(CHANNELS), size, size), np.float32)
        arrays = (self.shapes, self.materials, self.params, self.rotations, self.centers, palette)
        addresses = [array.ctypes.data for array in (*arrays, viewmats, Ks, out)]
        native().trace(len(self.shapes), len(viewmats), size, supersample, addresses)
        return out

    def distance(self, points: Floats) -> Floats:
        """Signed distances of points [N, 3] to the surface, [N], negative inside; exact where they are 0."""
        from sctd.ops._backend import native

        points = np.ascontiguousarray(points, np.float32)
        out = np.empty(len(points), np.float32)
        arrays = (self.shapes, self.params, self.rotations, self.centers, points, out)
        native().scene_distance(len(self.shapes), len(points), [array.ctypes.data for array in arrays])
        return out


def _sizes(part: Part) -> tuple[float, ...]:
    """As csrc/cpu/trace.cpp takes them: rings are whole, and the ends of a cone alike."""
    a, b, c, d = part.params[:4]
    return {"torus": (a, b, 0.0, 0.0), "cone": (c, a, 0.0, 0.0)}.get(part.shape, (a, b, c, d))


def scene_of(kind: str) -> Scene:
    """The shape of a kind."""
    sculpture = Sculpture()
    _BUILDERS[kind](sculpture, BODY)
    return Scene.of(sculpture)


def _bear(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.2, 0), (0.36, 0.4, 0.32), m)
    s.ellipsoid((0, -0.2, 0.16), (0.22, 0.27, 0.2), CREAM)
    s.ball((0, 0.38, 0.03), 0.31, m)
    s.ellipsoid((0, 0.3, 0.28), (0.14, 0.11, 0.12), CREAM)
    s.ball((0, 0.35, 0.39), 0.055, DARK)
    for side in (-1, 1):
        s.ball((0.25 * side, 0.63, 0), 0.13, m)
        s.ball((0.12 * side, 0.45, 0.29), 0.05, DARK)
        s.capsule((0.4 * side, -0.08, 0.08), 0.16, 0.12, m, turn=(-25, 0, 40 * side))
        s.capsule((0.24 * side, -0.58, 0.16), 0.12, 0.15, m, turn=(70, 0, 0))


def _boat(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.38, 0), (0.34, 0.26, 0.8), m)
    s.box((0, -0.2, 0), (0.2, 0.04, 0.55), WOOD, rounding=ROUND)
    s.capsule((0, 0.25, 0.05), 0.5, 0.045, WOOD)
    s.prism((0, -0.02, -0.08), (0.42, 0.74, 0.03), LIGHT, turn=(0, 90, 0))
    s.box((0, -0.06, -0.45), (0.17, 0.14, 0.16), m, rounding=ROUND)
    s.ball((0, -0.27, 0.76), 0.09, BEAK)


def _car(s: Sculpture, m: Material) -> None:
    s.box((0, -0.16, 0), (0.38, 0.18, 0.82), m, rounding=0.1)
    s.box((0, 0.14, -0.14), (0.32, 0.2, 0.44), WINDOW, rounding=0.12)
    s.box((0, 0.3, -0.14), (0.29, 0.06, 0.38), m, rounding=0.05)
    for side in (-1, 1):
        s.ball((0.24 * side, -0.12, 0.79), 0.085, CREAM)
        s.box((0.26 * side, -0.12, -0.81), (0.08, 0.05, 0.03), ROSE, rounding=ROUND)
    wheels(s, (-0.48, 0.48), -0.34, 0.2, 0.34)


def _cat(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.26, -0.08), (0.3, 0.42, 0.36), m)
    s.ellipsoid((0, -0.24, 0.16), (0.17, 0.28, 0.16), LIGHT)
    s.ellipsoid((0, 0.3, 0.1), (0.32, 0.28, 0.28), m)
    s.ball((0, 0.25, 0.38), 0.045, ROSE)
    s.capsule((0.22, -0.42, -0.52), 0.26, 0.075, m, turn=(-40, 0, -25))
    for side in (-1, 1):
        s.frustum((0.2 * side, 0.6, 0.06), 0.13, 0.01, 0.14, m, turn=(0, 0, -14 * side))
        s.ellipsoid((0.13 * side, 0.36, 0.34), (0.055, 0.07, 0.04), LEAF)
        s.capsule((0.14 * side, -0.55, 0.24), 0.1, 0.09, m, turn=(20, 0, 0))


def _duck(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.26, -0.06), (0.42, 0.34, 0.56), m)
    s.frustum((0, -0.02, -0.58), 0.2, 0.02, 0.2, m, turn=(-50, 0, 0))
    s.ball((0, 0.28, 0.26), 0.3, m)
    s.ellipsoid((0, 0.2, 0.6), (0.16, 0.06, 0.19), BEAK)
    for side in (-1, 1):
        s.ball((0.15 * side, 0.38, 0.48), 0.06, DARK)
        s.ellipsoid((0.4 * side, -0.18, -0.1), (0.09, 0.18, 0.32), m)


def _penguin(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.12, 0), (0.38, 0.56, 0.34), m)
    s.ellipsoid((0, -0.16, 0.15), (0.27, 0.44, 0.22), LIGHT)
    s.ball((0, 0.48, 0.02), 0.27, m)
    s.frustum((0, 0.44, 0.36), 0.09, 0.01, 0.12, BEAK, turn=(90, 0, 0))
    for side in (-1, 1):
        s.ball((0.11 * side, 0.55, 0.24), 0.06, LIGHT)
        s.ball((0.11 * side, 0.55, 0.29), 0.03, DARK)
        s.ellipsoid((0.42 * side, -0.08, 0), (0.08, 0.34, 0.16), m, turn=(0, 0, 16 * side))
        s.ellipsoid((0.18 * side, -0.68, 0.14), (0.15, 0.06, 0.22), BEAK)


def _rabbit(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.34, -0.06), (0.34, 0.36, 0.4), m)
    s.ball((0, -0.42, -0.48), 0.14, LIGHT)
    s.ellipsoid((0, 0.14, 0.14), (0.26, 0.25, 0.27), m)
    s.ball((0, 0.1, 0.41), 0.045, ROSE)
    for side in (-1, 1):
        s.ellipsoid((0.13 * side, 0.58, 0.06), (0.09, 0.3, 0.07), m, turn=(0, 0, -8 * side))
        s.ellipsoid((0.13 * side, 0.58, 0.11), (0.045, 0.22, 0.04), ROSE, turn=(0, 0, -8 * side))
        s.ball((0.14 * side, 0.2, 0.34), 0.05, DARK)
        s.ellipsoid((0.18 * side, -0.64, 0.22), (0.12, 0.09, 0.22), m)


def _robot(s: Sculpture, m: Material) -> None:
    s.box((0, -0.1, 0), (0.36, 0.36, 0.26), m, rounding=ROUND)
    s.box((0, 0.46, 0), (0.28, 0.2, 0.24), m, rounding=ROUND)
    s.box((0, -0.06, 0.26), (0.2, 0.16, 0.02), DARK, rounding=ROUND)
    s.capsule((0, 0.76, 0), 0.1, 0.04, STEEL)
    s.ball((0, 0.88, 0), 0.065, BEAK)
    for side in (-1, 1):
        s.frustum((0.12 * side, 0.5, 0.25), 0.075, 0.075, 0.03, CREAM, turn=(90, 0, 0))
        s.box((0.46 * side, -0.12, 0), (0.08, 0.32, 0.11), STEEL, rounding=ROUND)
        s.box((0.17 * side, -0.66, 0.03), (0.13, 0.22, 0.16), STEEL, rounding=ROUND)


def _apple(s: Sculpture, m: Material) -> None:
    s.torus((0, 0.12, 0), 0.26, 0.36, m)
    s.ellipsoid((0, -0.12, 0), (0.56, 0.54, 0.56), m)
    s.capsule((0.03, 0.52, 0), 0.2, 0.045, WOOD, turn=(0, 0, -12))
    s.ellipsoid((0.22, 0.62, 0), (0.2, 0.05, 0.1), LEAF, turn=(0, 0, 24))


_BUILDERS: dict[str, Callable[[Sculpture, Material], None]] = {
    "airplane": everyday.airplane,
    "bear": _bear,
    "boat": _boat,
    "car": _car,
    "cat": _cat,
    "chair": everyday.chair,
    "duck": _duck,
    "house": everyday.house,
    "penguin": _penguin,
    "rabbit": _rabbit,
    "robot": _robot,
    "snowman": everyday.snowman,
    "sofa": everyday.sofa,
    "truck": everyday.truck,
    "apple": _apple,
    "ball": everyday.ball,
    "cactus": everyday.cactus,
    "cone": everyday.cone,
    "cube": everyday.cube,
    "donut": everyday.donut,
    "ice cream": everyday.ice_cream,
    "lamp": everyday.lamp,
    "mug": everyday.mug,
    "mushroom": everyday.mushroom,
    "rocket": everyday.rocket,
    "table": everyday.table,
    "tree": everyday.tree,
    "vase": everyday.vase,
}
assert set(_BUILDERS) == set(SMALL.kinds), "every kind has one shape"
