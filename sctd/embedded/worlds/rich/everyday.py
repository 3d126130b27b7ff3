"""Everyday things of a few solids each: furniture, sweets, toys, an airplane, a truck."""

from __future__ import annotations

import math

from sctd.embedded.worlds.rich.materials import CREAM, DARK, LIGHT, STEEL, WINDOW, WOOD, Material, plain
from sctd.embedded.worlds.rich.sculpture import Sculpture

BEAK, CLAY, ROSE = (
    plain((0.95, 0.60, 0.10), 0.1),
    plain((0.72, 0.38, 0.22), 0.1),
    plain((0.90, 0.45, 0.50), 0.1),
)
ROUND = 0.03  # the edges of boxes that are neither soft nor sharp


def airplane(s: Sculpture, m: Material) -> None:
    s.capsule((0, 0, 0.02), 0.58, 0.19, m, turn=(90, 0, 0))
    s.box((0, -0.02, 0.1), (0.84, 0.045, 0.2), m, rounding=ROUND)
    s.box((0, 0.05, -0.64), (0.36, 0.04, 0.12), m, rounding=ROUND)
    s.box((0, 0.25, -0.64), (0.04, 0.24, 0.13), m, rounding=ROUND)
    s.ellipsoid((0, 0.15, 0.36), (0.12, 0.12, 0.22), WINDOW)
    s.ball((0, 0, 0.78), 0.1, STEEL)
    for x in (-0.42, 0.42):
        s.capsule((x, -0.08, 0.2), 0.14, 0.085, STEEL, turn=(90, 0, 0))


def wheels(s: Sculpture, positions: tuple[float, ...], y: float, radius: float, x: float) -> None:
    for z in positions:
        for side in (-1, 1):
            s.frustum((x * side, y, z), radius, radius, 0.08, DARK, turn=(0, 0, 90))
            s.frustum((x * side, y, z), radius * 0.5, radius * 0.5, 0.09, LIGHT, turn=(0, 0, 90))


def chair(s: Sculpture, m: Material) -> None:
    s.box((0, -0.1, 0.02), (0.42, 0.08, 0.4), m, rounding=ROUND)
    s.box((0, 0.38, -0.34), (0.42, 0.44, 0.07), m, rounding=ROUND)
    for x in (-0.34, 0.34):
        for z in (-0.3, 0.32):
            s.frustum((x, -0.46, z), 0.065, 0.075, 0.32, WOOD)


def house(s: Sculpture, m: Material) -> None:
    s.box((0, -0.26, 0), (0.52, 0.36, 0.46), m, rounding=0.01)
    s.prism((0, 0.08, 0), (0.66, 0.52, 0.56), m)
    s.box((0.3, 0.44, -0.2), (0.09, 0.22, 0.09), CLAY, rounding=ROUND)
    s.box((0, -0.36, 0.46), (0.12, 0.26, 0.03), WOOD, rounding=ROUND)
    for side in (-1, 1):
        s.box((0.32 * side, -0.16, 0.46), (0.1, 0.12, 0.02), WINDOW, rounding=0.01)
        s.box((0.52 * side, -0.16, 0.0), (0.02, 0.12, 0.16), WINDOW, rounding=0.01)


def snowman(s: Sculpture, m: Material) -> None:
    s.ball((0, -0.46, 0), 0.42, m)
    s.ball((0, 0.1, 0), 0.31, m)
    s.ball((0, 0.5, 0), 0.22, m)
    s.frustum((0, 0.48, 0.3), 0.06, 0.005, 0.14, BEAK, turn=(90, 0, 0))
    s.frustum((0, 0.68, 0), 0.3, 0.3, 0.025, DARK)
    s.frustum((0, 0.8, 0), 0.19, 0.19, 0.12, DARK)
    for y in (0.2, 0.04):
        s.ball((0, y, 0.31 - 0.1 * abs(y - 0.1)), 0.05, DARK)
    for side in (-1, 1):
        s.ball((0.09 * side, 0.56, 0.2), 0.04, DARK)
        s.capsule((0.46 * side, 0.2, 0), 0.22, 0.035, WOOD, turn=(0, 0, -58 * side))


def sofa(s: Sculpture, m: Material) -> None:
    s.box((0, -0.3, 0.06), (0.74, 0.2, 0.38), m, rounding=0.06)
    s.box((0, 0.08, -0.32), (0.74, 0.42, 0.13), m, rounding=0.08)
    for side in (-1, 1):
        s.box((0.74 * side, -0.14, 0.05), (0.13, 0.28, 0.42), m, rounding=0.1)
        s.box((0.32 * side, -0.08, 0.14), (0.29, 0.07, 0.29), CREAM, rounding=0.06)
        for z in (-0.3, 0.36):
            s.frustum((0.66 * side, -0.54, z), 0.05, 0.06, 0.07, WOOD)


def truck(s: Sculpture, m: Material) -> None:
    s.box((0, 0.14, -0.22), (0.38, 0.4, 0.56), m, rounding=ROUND)
    s.box((0, -0.04, 0.54), (0.36, 0.28, 0.24), m, rounding=0.06)
    s.box((0, 0.08, 0.64), (0.3, 0.13, 0.155), WINDOW, rounding=0.04)
    s.box((0, -0.34, 0.02), (0.34, 0.08, 0.8), DARK, rounding=ROUND)
    s.box((0, 0.18, -0.22), (0.395, 0.2, 0.38), LIGHT, rounding=ROUND)
    s.box((0, 0.14, -0.79), (0.28, 0.3, 0.015), LIGHT, rounding=ROUND)
    for side in (-1, 1):
        s.ball((0.25 * side, -0.18, 0.78), 0.06, CREAM)
    wheels(s, (-0.54, 0.52), -0.44, 0.18, 0.34)


def ball(s: Sculpture, m: Material) -> None:
    s.ball((0, 0, 0), 0.72, m)


def cactus(s: Sculpture, m: Material) -> None:
    s.frustum((0, -0.62, 0), 0.26, 0.34, 0.2, CLAY)
    s.torus((0, -0.43, 0), 0.33, 0.06, CLAY)
    s.capsule((0, 0.12, 0), 0.52, 0.2, m)
    for side, y in ((-1, 0.0), (1, 0.16)):
        s.capsule((0.3 * side, y, 0), 0.14, 0.11, m, turn=(0, 0, 90))
        s.capsule((0.46 * side, y + 0.18, 0), 0.18, 0.11, m)


def cone(s: Sculpture, m: Material) -> None:
    s.frustum((0, 0.05, 0), 0.42, 0.07, 0.7, m)
    s.box((0, -0.68, 0), (0.5, 0.07, 0.5), m, rounding=ROUND)
    s.frustum((0, 0.1, 0), 0.338, 0.24, 0.15, LIGHT)


def cube(s: Sculpture, m: Material) -> None:
    s.box((0, 0, 0), (0.52, 0.52, 0.52), m, rounding=0.05)


def donut(s: Sculpture, m: Material) -> None:
    s.torus((0, 0.05, 0), 0.5, 0.26, m)
    s.torus((0, -0.06, 0), 0.5, 0.265, CREAM)


def ice_cream(s: Sculpture, m: Material) -> None:
    s.frustum((0, -0.34, 0), 0.02, 0.36, 0.5, CLAY)
    s.ball((0, 0.26, 0), 0.42, m)
    s.torus((0, 0.14, 0), 0.34, 0.1, m)
    s.ball((0, 0.72, 0), 0.11, ROSE)


def lamp(s: Sculpture, m: Material) -> None:
    s.frustum((0, 0.36, 0), 0.52, 0.28, 0.34, m)
    s.frustum((0, -0.72, 0), 0.36, 0.3, 0.06, STEEL)
    s.capsule((0, -0.3, 0), 0.42, 0.06, STEEL)


def mug(s: Sculpture, m: Material) -> None:
    s.frustum((-0.08, -0.02, 0), 0.46, 0.5, 0.56, m)
    s.frustum((-0.08, 0.52, 0), 0.42, 0.42, 0.03, WOOD)
    s.torus((0.46, 0, 0), 0.26, 0.075, m, turn=(90, 0, 0))


def mushroom(s: Sculpture, m: Material) -> None:
    s.frustum((0, -0.4, 0), 0.27, 0.2, 0.38, CREAM)
    s.ellipsoid((0, 0.14, 0), (0.74, 0.44, 0.74), m)
    s.frustum((0, -0.1, 0), 0.62, 0.66, 0.22, CREAM)
    s.ellipsoid((0, 0.18, 0), (0.76, 0.46, 0.76), m)


def rocket(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, 0.02, 0), (0.3, 0.82, 0.3), m)
    s.frustum((0, 0.66, 0), 0.21, 0.01, 0.24, STEEL)
    s.frustum((0, -0.72, 0), 0.24, 0.16, 0.12, DARK)
    s.ball((0, 0.22, 0.24), 0.13, WINDOW)
    s.ball((0, 0.22, -0.24), 0.13, WINDOW)
    for turn in (0, 90, 180, 270):
        angle = math.radians(turn + 45)
        center = (0.36 * math.sin(angle), -0.58, 0.36 * math.cos(angle))
        s.box(center, (0.04, 0.24, 0.2), STEEL, turn=(0, turn + 45, 0), rounding=ROUND)


def table(s: Sculpture, m: Material) -> None:
    s.box((0, 0.26, 0), (0.8, 0.08, 0.52), m, rounding=ROUND)
    for x in (-0.66, 0.66):
        for z in (-0.38, 0.38):
            s.frustum((x, -0.2, z), 0.075, 0.09, 0.42, WOOD)


def tree(s: Sculpture, m: Material) -> None:
    s.frustum((0, -0.7, 0), 0.14, 0.12, 0.18, WOOD)
    for y, radius in ((-0.32, 0.6), (0.08, 0.47), (0.48, 0.34)):
        s.frustum((0, y, 0), radius, 0.02, 0.34, m)


def vase(s: Sculpture, m: Material) -> None:
    s.ellipsoid((0, -0.22, 0), (0.46, 0.5, 0.46), m)
    s.frustum((0, 0.34, 0), 0.2, 0.17, 0.28, m)
    s.frustum((0, 0.68, 0), 0.17, 0.33, 0.1, m)
    s.frustum((0, 0.78, 0), 0.28, 0.28, 0.015, DARK)
    s.frustum((0, -0.72, 0), 0.28, 0.24, 0.06, m)
