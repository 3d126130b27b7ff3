"""Objects: a typewriter, a telephone, a skull, a sand castle, ... ``m`` is the main material."""

from __future__ import annotations

import math

from sctd.embedded.worlds.rich.clothes import backpack_shape
from sctd.embedded.worlds.rich.hats import crown_shape, glasses_shape, headphones_shape, top_hat_shape
from sctd.embedded.worlds.rich.materials import (
    COLORS,
    DARK,
    GRASS,
    LEAF,
    LIGHT,
    PAPER,
    RUBBER,
    STEEL,
    WOOD,
    Material,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)


def typewriter(s: Sculpture, m: Material) -> None:
    dark = Material(scaled(m.first, 0.6), gloss=m.gloss)
    with s.group(0.05):
        s.box((0, -0.30, 0.02), (0.62, 0.13, 0.56), m, rounding=0.07)
        s.box((0, -0.10, -0.18), (0.60, 0.20, 0.32), m, rounding=0.09)
        s.box((0, -0.20, 0.14), (0.58, 0.12, 0.18), m, (24, 0, 0), 0.04)
        with s.carving(0.03):
            s.ellipsoid((0, 0.12, 0.02), (0.34, 0.14, 0.24), DARK)
        with s.painting(0.01):
            s.box((0, -0.17, 0.40), (0.54, 0.3, 0.19), dark, (14, 0, 0), 0.03)
    for i in range(9):  # type bars
        x = 0.05 * (i - 4)
        s.limb((x, 0.02, 0.14), (x * 0.4, 0.13, -0.10), 0.008, STEEL)
    for row in range(4):
        n = 10 - (row == 3)
        for i in range(n):
            x = (i - (n - 1) / 2) * 0.108 + 0.018 * (row % 2)
            y, z = -0.10 - 0.042 * row, 0.24 + 0.098 * row
            s.frustum((x, y, z), 0.043, 0.043, 0.022, LIGHT, (12, 0, 0), 0.01)
            s.torus((x, y + 0.012, z), 0.043, 0.009, STEEL, (12, 0, 0))
    s.box((0, -0.275, 0.635 - 0.02), (0.28, 0.022, 0.045), LIGHT, (12, 0, 0), 0.015)
    s.rod((-0.74, 0.20, -0.24), (0.74, 0.20, -0.24), 0.085, RUBBER)
    for side in SIDES:
        s.rod((side * 0.72, 0.20, -0.24), (side * 0.86, 0.20, -0.24), 0.105, DARK)
        s.box((side * 0.60, 0.16, -0.26), (0.045, 0.10, 0.13), m, rounding=0.03)
        s.frustum((side * 0.32, 0.06, 0.06), 0.11, 0.11, 0.03, STEEL, rounding=0.02)
    s.limb((0.64, 0.28, -0.16), (0.86, 0.38, 0.06), 0.022, STEEL)
    with s.group():
        s.box((0, 0.48, -0.36), (0.42, 0.32, 0.010), PAPER, (-10, 0, 0), 0.005)
        s.box((0, 0.22, -0.18), (0.42, 0.08, 0.010), PAPER, (20, 0, 0), 0.005)
        with s.painting(0.003):
            for i in range(4):
                s.box(
                    (-0.04 * (i % 2), 0.62 - 0.085 * i, -0.36),
                    (0.32 - 0.04 * (i % 2), 0.012, 0.1),
                    DARK,
                    (-10, 0, 0),
                )


def telephone(s: Sculpture, m: Material) -> None:
    gloss = Material(m.first, gloss=max(0.45, m.gloss), exponent=50)
    with s.group(0.10):
        s.box((0, -0.36, 0), (0.56, 0.10, 0.46), gloss, rounding=0.08)
        s.box((0, -0.14, -0.10), (0.40, 0.22, 0.28), gloss, rounding=0.12)
        s.box((0, -0.16, 0.14), (0.40, 0.12, 0.24), gloss, (38, 0, 0), 0.08)
        for side in SIDES:
            for z in (-0.28, 0.02):
                s.limb((side * 0.26, 0.08, z), (side * 0.27, 0.25, z), 0.045, gloss)
    with s.frame(Frame.at((0, -0.085, 0.245), (52, 0, 0))):
        with s.group():
            s.frustum((0, 0.04, 0), 0.30, 0.29, 0.045, LIGHT, rounding=0.02)
            s.frustum((0, 0.085, 0), 0.27, 0.26, 0.022, gloss, rounding=0.015)
            with s.painting(0.004):
                for i in range(10):
                    a = math.radians(30 * i - 60)
                    s.frustum((0.205 * math.cos(a), 0.1, -0.205 * math.sin(a)), 0.040, 0.040, 0.05, DARK)
                s.frustum((0, 0.1, 0), 0.105, 0.105, 0.05, LIGHT)
        s.limb((0.17, 0.12, 0.17), (0.26, 0.12, 0.24), 0.014, STEEL)
    with s.group(0.06):
        s.tube(
            [
                (-0.56, 0.30, -0.13),
                (-0.40, 0.40, -0.13),
                (0.0, 0.44, -0.13),
                (0.40, 0.40, -0.13),
                (0.56, 0.30, -0.13),
            ],
            0.085,
            gloss,
        )
        for side in SIDES:
            s.frustum((side * 0.58, 0.21, -0.13), 0.16, 0.135, 0.075, gloss, (0, 0, 10 * side), 0.04)
    cord = [
        (
            -0.58 - 0.10 * math.sin(t * 0.25) - 0.035 * math.cos(3 * t),
            0.13 - 0.022 * t,
            -0.13 + 0.035 * math.sin(3 * t) - 0.006 * t,
        )
        for t in [0.35 * i for i in range(40)]
    ]
    s.tube(cord[::1], 0.018, DARK)


def elephant_skull(s: Sculpture, m: Material) -> None:
    bone, hollow = m, plain((0.20, 0.16, 0.12))
    with s.group(0.10):
        s.ellipsoid((0, 0.40, -0.22), (0.48, 0.36, 0.40), bone)
        for side in SIDES:
            s.ball((side * 0.20, 0.54, -0.12), 0.26, bone)
            s.limb((side * 0.22, 0.24, 0.12), (side * 0.19, -0.34, 0.46), 0.19, bone, 0.145)
            s.tube(
                [
                    (side * 0.30, 0.20, 0.18),
                    (side * 0.50, 0.10, 0.06),
                    (side * 0.50, 0.04, -0.24),
                    (side * 0.40, 0.10, -0.40),
                ],
                [0.10, 0.075, 0.065, 0.09],
                bone,
            )
        s.ellipsoid((0, 0.02, 0.02), (0.26, 0.30, 0.36), bone)
        with s.carving(0.05):
            s.ellipsoid((0, 0.36, 0.30), (0.27, 0.115, 0.26), hollow)
            for side in SIDES:
                s.ellipsoid((side * 0.47, 0.20, 0.16), (0.19, 0.15, 0.155), hollow)
                s.ellipsoid((side * 0.42, 0.22, -0.32), (0.14, 0.22, 0.18), hollow)
            s.ellipsoid((0, -0.30, 0.58), (0.07, 0.26, 0.14), hollow)
        with s.painting(0.05):
            s.ellipsoid((0, 0.36, 0.28), (0.24, 0.095, 0.25), hollow)
            for side in SIDES:
                s.ellipsoid((side * 0.44, 0.20, 0.15), (0.16, 0.13, 0.14), hollow)
    with s.group(0.06):  # the lower jaw
        for side in SIDES:
            s.tube(
                [
                    (side * 0.36, 0.04, -0.34),
                    (side * 0.34, -0.40, -0.24),
                    (side * 0.26, -0.52, 0.12),
                    (side * 0.06, -0.54, 0.44),
                ],
                [0.08, 0.12, 0.10, 0.07],
                bone,
            )
    for i in range(4):
        for side in SIDES:
            s.box(
                (side * 0.27, -0.39, 0.10 - 0.10 * i),
                (0.05, 0.05, 0.042),
                plain((0.80, 0.72, 0.56)),
                rounding=0.02,
            )
    ivory = plain((0.97, 0.93, 0.82), 0.35)
    for side in SIDES:
        s.tube(
            [
                (side * 0.19, -0.30, 0.46),
                (side * 0.26, -0.60, 0.72),
                (side * 0.34, -0.68, 1.02),
                (side * 0.36, -0.52, 1.30),
                (side * 0.30, -0.24, 1.46),
            ],
            [0.10, 0.095, 0.08, 0.055, 0.015],
            ivory,
        )


def sand_castle(s: Sculpture, m: Material) -> None:
    dark = plain(scaled(m.first, 0.35))
    with s.group(0.12):
        s.ellipsoid((0, -0.66, 0), (0.98, 0.14, 0.98), m)
        s.ball((0.5, -0.64, 0.62), 0.12, m)

    def tower(x: float, z: float, radius: float, low: float, high: float, roof: float) -> None:
        half = (high - low) / 2
        with s.group(0.012):
            s.frustum((x, low + half, z), radius * 1.10, radius * 0.96, half, m)
            s.frustum((x, high + 0.03, z), radius * 1.14, radius * 1.18, 0.05, m)
            with s.painting(0.006):
                for turn in (0, 90, 180, 270):
                    a = math.radians(turn)
                    s.box(
                        (x + radius * math.sin(a), high - 0.16, z + radius * math.cos(a)),
                        (0.035, 0.06, 0.035),
                        dark,
                    )
        n = 7
        for i in range(n):
            a = 2 * math.pi * (i + 0.5) / n
            s.box(
                (x + radius * math.sin(a), high + 0.11, z + radius * math.cos(a)),
                (0.05, 0.05, 0.05),
                m,
                (0, math.degrees(a), 0),
            )
        if roof:
            s.frustum((x, high + 0.08 + roof / 2, z), radius * 0.86, 0.01, roof / 2, m)

    for x in (-0.52, 0.52):
        for z in (-0.52, 0.52):
            tower(x, z, 0.17, -0.62, -0.06, 0.26)
    tower(0, -0.06, 0.27, -0.62, 0.34, 0.40)
    tower(-0.20, 0.12, 0.13, -0.62, 0.10, 0.20)
    for x, z, hx, hz in (
        (0, 0.52, 0.52, 0.07),
        (0, -0.52, 0.52, 0.07),
        (0.52, 0, 0.07, 0.52),
        (-0.52, 0, 0.07, 0.52),
    ):
        with s.group():
            s.box((x, -0.44, z), (hx, 0.20, hz), m, rounding=0.02)
            if z > 0:
                with s.carving():
                    s.box((0, -0.56, 0.52), (0.10, 0.13, 0.2), dark)
                    s.frustum((0, -0.43, 0.52), 0.10, 0.10, 0.2, dark, (90, 0, 0))
                with s.painting(0.006):
                    s.box((0, -0.52, 0.42), (0.16, 0.22, 0.045), dark)
        for i in range(5):
            t = -0.34 + 0.17 * i
            at = (t, -0.20, z) if hx > hz else (x, -0.20, t)
            s.box(at, (0.05, 0.05, 0.05), m, rounding=0.01)
    s.limb((0, 0.78, -0.06), (0, 1.06, -0.06), 0.014, WOOD)
    s.triangle((0, 1.06, -0.06), (0, 0.90, -0.06), (0.26, 0.98, -0.02), plain(COLORS["red"]), 0.012)
    for x, z in ((0.34, 0.80), (-0.62, 0.66)):
        s.lathe(
            (x, -0.56, z),
            [(0.0, 0.05), (0.06, 0.02), (0.09, -0.02)],
            plain((0.96, 0.80, 0.72), 0.2),
            0.014,
            waves=(0.016, 7),
        )


def origami_crane(s: Sculpture, m: Material) -> None:
    under = Material(scaled(m.first, 0.86), gloss=0.0)
    keel, front, rear = (0, -0.34, 0), (0, 0.02, 0.30), (0, 0.02, -0.30)
    for side in SIDES:
        hip = (side * 0.20, 0.02, 0)
        s.triangle(keel, front, hip, m, 0.008)
        s.triangle(keel, hip, rear, under, 0.008)
        root_f, root_b = (side * 0.03, 0.06, 0.26), (side * 0.03, 0.06, -0.26)
        crease, tip = (side * 0.46, 0.34, 0.04), (side * 1.02, 0.50, -0.10)
        middle = (side * 0.03, 0.16, 0.0)
        s.triangle(root_f, middle, crease, m, 0.008)
        s.triangle(middle, root_b, crease, under, 0.008)
        s.triangle(root_f, crease, tip, m, 0.008)
        s.triangle(crease, root_b, tip, under, 0.008)
        for z in (1, -1):
            top = (0, 0.66, 0.66) if z > 0 else (0, 0.60, -0.86)
            s.triangle((0, 0.10, z * 0.20), (side * 0.11, -0.12, z * 0.24), top, m if z > 0 else under, 0.010)
            s.triangle(
                (0, -0.30, z * 0.10), (side * 0.11, -0.12, z * 0.24), top, under if z > 0 else m, 0.010
            )
        s.triangle((0, 0.68, 0.66), (side * 0.05, 0.52, 0.57), (0, 0.44, 0.96), m, 0.010)
        s.triangle((0, 0.68, 0.66), (0, 0.56, 0.72), (0, 0.44, 0.96), under, 0.010)


def egg(s: Sculpture, m: Material) -> None:
    with s.group(0.30):
        s.ball((0, -0.12, 0), 0.56, m)
        s.ball((0, 0.36, 0), 0.32, m)


def broken_egg(s: Sculpture, m: Material) -> None:
    """The lower part of an egg 1.2 wide, its rim jagged at y = 0; a piece of shell beside it."""
    inside = Material(scaled(m.first, 1.15), gloss=0.0)
    with s.group():
        s.ellipsoid((0, -0.02, 0), (0.62, 0.66, 0.62), m)
        with s.carving():
            s.ellipsoid((0, 0.0, 0), (0.56, 0.60, 0.56), inside)
            s.box((0, 0.66, 0), (1, 0.60, 1), m)
            for i in range(9):
                with s.frame(Frame.at((0, 0.10, 0), (0, 40 * i + 11, 0))):
                    s.prism((0, 0, 0.6), (0.15, -0.24, 0.3), m)
                    s.box((0, 0.0, 0.6), (0.145, 0.145, 0.3), m, (0, 0, 45), 0.0)
        with s.painting(0.01):
            s.ellipsoid((0, 0.03, 0), (0.575, 0.62, 0.575), inside)
    with s.frame(Frame.at((0.66, -0.52, 0.34), (-60, 20, -10), 0.42)), s.group():
        s.ball((0, 0, 0), 0.60, m)
        with s.carving():
            s.ball((0, 0, 0), 0.52, inside)
            s.box((0, -0.30, 0), (1, 0.52, 1), m)
            s.box((0, 0.2, 0.5), (0.2, 0.2, 0.5), m, (0, 20, 45), 0.0)


def water_lily(s: Sculpture, m: Material, beside: bool = True) -> None:
    """A flower on its pad; ``beside``: at the pad's rim, so that something can sit on the pad."""
    with s.group():
        s.frustum((0, 0, 0), 0.86, 0.92, 0.035, LEAF, rounding=0.03)
        with s.carving():
            s.triangle((0, 0, 0), (0.22, 0, 1.1), (-0.22, 0, 1.1), LEAF, 0.03)
            s.triangle((0, 0.05, 0), (0.22, 0.05, 1.1), (-0.22, 0.05, 1.1), LEAF, 0.03)
        with s.painting(0.008):
            for i in range(11):
                with s.frame(Frame.at((0, 0, 0), (0, 32 * i + 20, 0))):
                    s.box((0, 0.04, 0.5), (0.010, 0.03, 0.42), GRASS)
    scale, at = (0.55, (-0.48, 0.05, -0.52)) if beside else (1.0, (0, 0.06, 0))
    pale = Material(tuple(0.45 + 0.55 * c for c in m.first), gloss=0.1)  # type: ignore[arg-type]
    with s.frame(Frame.at(at, (0, 0, 0), scale)):
        for n, tilt, long, shift, stuff in (
            (9, 62, 0.40, 0, m),
            (8, 38, 0.36, 20, m),
            (6, 16, 0.30, 5, pale),
        ):
            for i in range(n):
                with (
                    s.frame(Frame.at((0, 0.04, 0), (0, 360 * i / n + shift, 0))),
                    s.frame(Frame.at((0, 0, 0.05), (tilt, 0, 0))),
                ):
                    s.ellipsoid((0, long * 0.95, 0), (0.12, long, 0.035), stuff)
        for i in range(9):
            a = 2.4 * i
            s.limb(
                (0, 0.05, 0), (0.10 * math.cos(a), 0.24, 0.10 * math.sin(a)), 0.022, plain((0.98, 0.78, 0.15))
            )


def crown(s: Sculpture, m: Material) -> None:
    crown_shape(s, m)


def top_hat(s: Sculpture, m: Material) -> None:
    top_hat_shape(s, m)


def backpack(s: Sculpture, m: Material) -> None:
    backpack_shape(s, m)
    strap = Material(scaled(m.first, 0.72), gloss=0.06)
    for side in SIDES:
        s.tube(
            [
                (side * 0.20, 0.40, -0.18),
                (side * 0.24, 0.30, -0.36),
                (side * 0.24, -0.20, -0.36),
                (side * 0.26, -0.40, -0.20),
            ],
            0.045,
            strap,
        )


def eyeglasses(s: Sculpture, m: Material) -> None:
    with s.frame(Frame.at((0, 0, 0.3))):
        glasses_shape(s, m, Frame.at(), (0.44, 0, 0.4), 0.40, 0.92)
    lens = plain((0.78, 0.86, 0.92), 0.7)
    for side in SIDES:
        s.frustum((side * 0.44, 0, 0.70), 0.39, 0.39, 0.012, lens, (90, 0, 0))


def headphones(s: Sculpture, m: Material) -> None:
    headphones_shape(s, m, 0.66, 0.86)


def teapot(s: Sculpture, m: Material) -> None:
    with s.group(0.06):
        s.ellipsoid((0, -0.10, 0), (0.58, 0.46, 0.58), m)
        s.frustum((0, -0.52, 0), 0.36, 0.34, 0.05, m, rounding=0.03)
        s.tube(
            [(0.46, -0.22, 0), (0.70, -0.08, 0), (0.80, 0.16, 0), (0.96, 0.30, 0)],
            [0.17, 0.12, 0.085, 0.07],
            m,
        )
    s.torus((-0.56, -0.04, 0), 0.27, 0.065, m, (90, -90, 0), arc=230)
    s.ellipsoid((0, 0.32, 0), (0.34, 0.11, 0.34), m)
    s.torus((0, 0.30, 0), 0.33, 0.03, plain(scaled(m.first, 0.7), 0.4))
    s.ball((0, 0.46, 0), 0.085, m)
