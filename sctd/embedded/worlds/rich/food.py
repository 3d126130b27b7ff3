"""Things to eat. ``m`` is the main material."""

from __future__ import annotations

import math

from sctd.embedded.worlds.rich.materials import (
    COLORS,
    CREAM,
    GRASS,
    LEAF,
    LIGHT,
    VEGETABLES,
    WOOD,
    Material,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)
BUN = Material((0.82, 0.52, 0.22), (0.74, 0.43, 0.16), "mottle", 0.3, gloss=0.2)
MEAT = Material((0.42, 0.22, 0.12), (0.28, 0.14, 0.07), "mottle", 0.06, 0.35)
SHELL = Material((0.93, 0.72, 0.30), (0.84, 0.57, 0.18), "mottle", 0.09, 0.08, gloss=0.08)
LETTUCE = Material((0.42, 0.70, 0.20), (0.60, 0.82, 0.34), "mottle", 0.08)
CHEDDAR = plain((0.99, 0.72, 0.12), 0.15)


def apple(s: Sculpture, m: Material) -> None:
    with s.group(0.22):
        s.torus((0, 0.14, 0), 0.28, 0.34, m)
        s.ellipsoid((0, -0.16, 0), (0.50, 0.44, 0.50), m)
    s.tube([(0, 0.30, 0), (0.02, 0.52, 0), (0.07, 0.70, 0)], [0.04, 0.035, 0.045], WOOD)
    with s.group(0.03):
        s.ellipsoid((0.24, 0.62, 0.02), (0.19, 0.035, 0.10), LEAF, (0, 20, 22))


def strawberry(s: Sculpture, m: Material) -> None:
    red = Material(m.first, gloss=0.45, exponent=40)
    seed = plain((0.96, 0.82, 0.36), 0.2)
    big, small, high, low = 0.47, 0.13, 0.24, -0.50
    s.limb((0, high, 0), (0, low, 0), big, red, small)
    sine = (big - small) / (high - low)
    cosine = math.sqrt(1 - sine**2)
    for row in range(8):
        y = 0.58 - 0.15 * row
        down = high - y
        side = down > big * sine  # below there it is a cone, above a ball
        wide = (big - sine * down) / cosine if side else math.sqrt(max(0.01, big**2 - down**2))
        n = max(4, round(wide * 22))
        for i in range(n):
            a = 2 * math.pi * (i + 0.5 * (row % 2)) / n
            s.ellipsoid((wide * math.sin(a), y, wide * math.cos(a)), (0.020, 0.032, 0.020), seed)
    for i in range(8):
        with s.frame(Frame.at((0, 0.66, 0), (0, 45 * i, 0))), s.group(0.04):
            s.triangle((-0.10, 0, 0.10), (0.10, 0, 0.10), (0, -0.02, 0.50), GRASS, 0.025)
            s.limb((0, 0.02, 0), (0, 0.01, 0.20), 0.05, GRASS)
    s.tube([(0, 0.66, 0), (0.02, 0.80, 0.02), (0.09, 0.90, 0.05)], [0.05, 0.04, 0.035], GRASS)


def plate(s: Sculpture, m: Material, radius: float = 0.9) -> None:
    """A round plate whose hollow lies at y = 0."""
    s.lathe((0, 0, 0), [(0.0, 0.0), (radius * 0.62, 0.0), (radius, 0.10)], m, 0.025)
    s.torus((0, 0.10, 0), radius, 0.026, plain(COLORS["blue"], 0.4))


def taco(s: Sculpture) -> None:
    """One taco along x, its opening up, about 1 long."""
    with s.group(0.01):
        s.frustum((0, 0, 0), 0.46, 0.46, 0.17, SHELL, (90, 0, 0), 0.10)
        with s.carving(0.01):
            s.frustum((0, 0.06, 0), 0.52, 0.52, 0.115, SHELL, (90, 0, 0), 0.05)
            s.box((0, 0.46, 0), (1, 0.40, 1), SHELL)
            s.box((0, 0.30, 0), (0.9, 0.5, 0.12), SHELL, rounding=0.05)
    fillings = (MEAT, LETTUCE, VEGETABLES["tomato"], CHEDDAR, LETTUCE, MEAT, LETTUCE)
    for i in range(17):
        a = 2.4 * i
        x = -0.40 + 0.05 * i
        high = 0.06 + 0.09 * (1 - (x / 0.46) ** 2)
        s.ellipsoid(
            (x, high, 0.06 * math.sin(a)),
            (0.085, 0.06, 0.075),
            fillings[i % 7],
            (0, 40 * i, 25 * math.sin(2 * a)),
        )
    for i in range(9):
        x = -0.34 + 0.085 * i
        s.ellipsoid(
            (x, 0.15 * (1 - (x / 0.5) ** 2), 0.115 * (-1) ** i),
            (0.10, 0.022, 0.05),
            LETTUCE,
            (30 * (-1) ** i, 0, 20 * (-1) ** i),
        )


def tacos(s: Sculpture, m: Material) -> None:
    """Three on a plate."""
    plate(s, m)
    for z, turn in ((-0.42, 6), (0.0, -4), (0.42, 5)):
        with s.frame(Frame.at((0.02, 0.47, z), (-9, turn, 0), 1.0 if z else 1.08)):
            taco(s)
    s.ellipsoid((0.74, 0.10, 0.32), (0.12, 0.06, 0.10), Material((0.60, 0.80, 0.25), gloss=0.3))
    s.ball((-0.74, 0.12, 0.26), 0.075, VEGETABLES["tomato"])


def hamburger(s: Sculpture, m: Material) -> None:
    s.frustum((0, -0.42, 0), 0.66, 0.70, 0.14, BUN, rounding=0.12)
    s.frustum((0, -0.20, 0), 0.74, 0.74, 0.10, MEAT, rounding=0.09)
    s.box((0, -0.08, 0), (0.56, 0.02, 0.56), CHEDDAR, (0, 30, 0))
    s.lathe((0, -0.02, 0), [(0.3, 0), (0.82, -0.02)], LETTUCE, 0.025, waves=(0.05, 11))
    s.frustum((0, 0.05, 0), 0.66, 0.66, 0.05, m, rounding=0.04)
    with s.group(0.05):
        s.ellipsoid((0, 0.14, 0), (0.74, 0.52, 0.74), BUN)
        with s.carving(0.04):
            s.box((0, -0.42, 0), (1, 0.52, 1), BUN)
    for i in range(26):
        a, r = 2.4 * i, 0.62 * math.sqrt((i + 0.5) / 26)
        y = 0.14 + 0.52 * math.sqrt(max(0, 1 - (r / 0.74) ** 2))
        s.ellipsoid((r * math.cos(a), y, r * math.sin(a)), (0.026, 0.018, 0.042), CREAM, (0, 50 * i, 0))


def carrot(s: Sculpture, m: Material) -> None:
    skin = Material(m.first, scaled(m.first, 0.75), "rings", 0.09, 0.2, gloss=0.12)
    s.limb((0, 0.30, 0), (0, -0.78, 0), 0.24, skin, 0.035)
    for i in range(7):
        a = math.radians(52 * i)
        top = (0.30 * math.sin(a), 0.92 - 0.10 * (i % 2), 0.30 * math.cos(a))
        s.tube(
            [
                (0.05 * math.sin(a), 0.44, 0.05 * math.cos(a)),
                (0.16 * math.sin(a), 0.72, 0.16 * math.cos(a)),
                top,
            ],
            [0.035, 0.06, 0.02],
            GRASS,
        )


def banana(s: Sculpture, m: Material) -> None:
    path = [
        (0.75 * math.sin(math.radians(a)), 0.55 - 0.75 * math.cos(math.radians(a)), 0)
        for a in range(-66, 67, 12)
    ]
    n = len(path) - 1
    radii = [0.07 + 0.115 * math.sin(math.pi * i / n) ** 0.6 for i in range(n + 1)]
    with s.group(0.0):
        s.tube(path, radii, m)
        x, y, _ = path[-1]
        s.limb((x, y, 0), (x + 0.05, y + 0.18, 0), 0.05, plain((0.60, 0.50, 0.14)), 0.04)
        s.ball((path[0][0], path[0][1] + 0.04, 0), 0.055, plain((0.25, 0.18, 0.08)))


def cake(s: Sculpture, m: Material) -> None:
    """A birthday cake with three candles on a stand."""
    s.frustum((0, -0.55, 0), 0.82, 0.82, 0.03, LIGHT, rounding=0.03)
    sponge = plain((0.93, 0.78, 0.50))
    with s.group(0.02):
        s.frustum((0, -0.22, 0), 0.66, 0.66, 0.30, m, rounding=0.05)
        with s.painting(0.006):
            s.frustum((0, -0.22, 0), 0.8, 0.8, 0.05, sponge)
    with s.group(0.03):
        s.frustum((0, 0.08, 0), 0.68, 0.68, 0.05, CREAM, rounding=0.05)
        for i in range(14):
            a = 2 * math.pi * i / 14
            s.limb(
                (0.66 * math.sin(a), 0.06, 0.66 * math.cos(a)),
                (0.67 * math.sin(a), -0.10 - 0.05 * (i % 3), 0.67 * math.cos(a)),
                0.055,
                CREAM,
            )
    for i in range(8):
        a = 2 * math.pi * i / 8
        s.ball((0.50 * math.sin(a), 0.18, 0.50 * math.cos(a)), 0.085, VEGETABLES["tomato"])
    for x, z, name in ((0, 0.16, "blue"), (-0.16, -0.10, "green"), (0.16, -0.10, "orange")):
        s.rod((x, 0.10, z), (x, 0.46, z), 0.035, plain(COLORS[name]))
        s.ellipsoid((x, 0.53, z), (0.03, 0.06, 0.03), Material((1.0, 0.85, 0.3), rim=0.6))


def pizza(s: Sculpture, m: Material) -> None:
    """A pizza on a board, one slice a little apart."""
    with s.group(0.02):
        s.frustum((0, 0, 0), 0.86, 0.88, 0.045, CHEDDAR, rounding=0.02)
        with s.painting(0.006):
            for i in range(4):
                s.box((0, 0.05, 0), (0.006, 0.05, 1.0), scaled_crust(), (0, 45 * i + 22, 0))
    s.torus((0, 0.03, 0), 0.86, 0.075, BUN)
    for i in range(13):
        a, r = 2.4 * i, 0.72 * math.sqrt((i + 0.4) / 13)
        s.frustum((r * math.cos(a), 0.055, r * math.sin(a)), 0.105, 0.105, 0.014, m, rounding=0.01)
    for i in range(9):
        a, r = 2.4 * i + 1.1, 0.70 * math.sqrt((i + 0.7) / 9)
        s.ellipsoid((r * math.cos(a), 0.055, r * math.sin(a)), (0.08, 0.014, 0.04), LEAF, (0, 60 * i, 0))


def scaled_crust() -> Material:
    """Where a pizza is cut."""
    return plain((0.60, 0.36, 0.12))


def watermelon(s: Sculpture, m: Material) -> None:
    """A slice, a wedge of a ball."""
    rind = Material((0.10, 0.36, 0.13), (0.36, 0.62, 0.26), "stripes", 0.14, gloss=0.2)
    with s.group():
        s.ball((0, 0.36, 0), 0.84, rind)
        with s.carving():
            for turn in (-62, 62):
                with s.frame(Frame.at((0, 0.36, 0), (turn, 0, 0))):
                    s.box((0, 1.0, 0), (2, 1.0, 2), m)
        with s.painting(0.006):
            s.ball((0, 0.36, 0), 0.80, plain((0.86, 0.92, 0.72)))
            s.ball((0, 0.36, 0), 0.74, m)
            for k in SIDES:
                for i in range(9):
                    a, r = math.radians(-70 + 17.5 * i), 0.42 + 0.12 * (i % 2)
                    s.ellipsoid(
                        (r * math.sin(a), 0.36 - r * math.cos(a) * 0.88, k * r * math.cos(a) * 0.47),
                        (0.03, 0.045, 0.1),
                        plain((0.1, 0.06, 0.05), 0.3),
                    )
