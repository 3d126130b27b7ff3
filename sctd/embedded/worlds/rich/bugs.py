"""Small animals with shells."""

from __future__ import annotations

import math

from sctd.embedded.worlds.rich.materials import DARK, EYE, Material, scaled
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)


def lobster(s: Sculpture, m: Material) -> None:
    """Flat on the ground, claws in front."""
    dark = Material(scaled(m.first, 0.72), gloss=m.gloss, exponent=m.exponent)
    with s.group(0.03):
        s.limb((0, 0, 0.28), (0, 0.02, -0.06), 0.20, m, 0.24)
        s.limb((0, 0.04, 0.40), (0, 0.06, 0.62), 0.12, m, 0.02)
        with s.painting(0.006):
            s.torus((0, 0.10, 0.08), 0.20, 0.012, dark, (60, 0, 0), arc=180)
    for i in range(6):
        z, r = -0.22 - 0.115 * i, 0.225 - 0.017 * i
        s.ellipsoid((0, 0.015 - 0.012 * i, z), (r, r * 0.85, 0.085), m if i % 2 else dark)
    for a in (-50, -25, 0, 25, 50):
        with s.frame(Frame.at((0, -0.05, -0.86), (0, a, 0))):
            s.ellipsoid((0, 0, -0.14), (0.095, 0.026, 0.18), m if a % 50 else dark)
    for side in SIDES:
        with s.group(0.02):
            s.tube(
                [(side * 0.16, -0.02, 0.30), (side * 0.40, 0.0, 0.36), (side * 0.48, 0.03, 0.58)],
                [0.07, 0.075, 0.09],
                m,
            )
        big = 1.65 if side > 0 else 1.45
        with s.frame(Frame.at((side * 0.48, 0.03, 0.62), (0, -14 * side, 0), big)), s.group(0.03):
            s.ellipsoid((0, 0, 0.12), (0.135, 0.075, 0.18), m)
            s.tube(
                [(side * 0.07, 0, 0.20), (side * 0.11, 0, 0.36), (side * 0.03, 0, 0.50)],
                [0.085, 0.065, 0.015],
                m,
            )
            s.tube(
                [(-side * 0.07, 0, 0.22), (-side * 0.085, 0, 0.34), (-side * 0.02, 0, 0.45)],
                [0.055, 0.042, 0.015],
                dark,
            )
        for i in range(4):
            z = 0.16 - 0.10 * i
            s.tube(
                [
                    (side * 0.18, -0.06, z),
                    (side * 0.40, 0.08, z + 0.06 - 0.05 * i),
                    (side * 0.54, -0.22, z + 0.04 - 0.10 * i),
                ],
                [0.045, 0.036, 0.014],
                m,
            )
        s.limb((side * 0.09, 0.14, 0.46), (side * 0.14, 0.22, 0.54), 0.03, m)
        s.ball((side * 0.15, 0.23, 0.55), 0.055, EYE)
        s.tube(
            [
                (side * 0.05, 0.05, 0.58),
                (side * 0.18, 0.28, 0.66),
                (side * 0.32, 0.36, 0.40),
                (side * 0.40, 0.34, 0.0),
            ],
            [0.024, 0.019, 0.014, 0.009],
            dark,
        )


def beetle(s: Sculpture, m: Material) -> None:
    """A rounded beetle with horns, seen best from above."""
    shell = Material(m.first, gloss=max(m.gloss, 0.35), exponent=60, metal=m.metal)
    under = Material(scaled(m.first, 0.35), gloss=0.3)
    with s.group(0.02):
        s.ellipsoid((0, 0.04, -0.22), (0.42, 0.30, 0.54), shell)
        with s.painting(0.004):
            s.box((0, 0.3, -0.24), (0.010, 0.5, 0.6), under)
            for side in SIDES:
                s.box((side * 0.20, 0.3, -0.26), (0.006, 0.5, 0.44), under)
            s.box((0, -0.2, -0.2), (1, 0.16, 1), under)
    s.ellipsoid((0, 0.04, 0.32), (0.33, 0.22, 0.20), shell)
    with s.group(0.04):
        s.ellipsoid((0, -0.01, 0.54), (0.19, 0.14, 0.16), shell)
        s.tube([(0, 0.06, 0.62), (0, 0.20, 0.78), (0, 0.42, 0.84)], [0.06, 0.045, 0.015], shell)
    s.limb((0, 0.18, 0.42), (0, 0.36, 0.58), 0.05, shell, 0.012)
    for side in SIDES:
        s.ball((side * 0.16, 0.04, 0.60), 0.05, EYE)
        s.tube(
            [(side * 0.10, 0.02, 0.66), (side * 0.26, 0.12, 0.80), (side * 0.30, 0.08, 0.92)],
            [0.018, 0.014, 0.03],
            under,
        )
        for z, out, back in ((0.36, 0.62, 0.26), (0.02, 0.74, -0.06), (-0.34, 0.66, -0.42)):
            s.tube(
                [
                    (side * 0.26, -0.10, z),
                    (side * out * 0.82, 0.02, z + back * 0.5),
                    (side * out, -0.26, z + back),
                    (side * (out + 0.10), -0.28, z + back * 1.25),
                ],
                [0.05, 0.045, 0.028, 0.014],
                under,
            )


def crab(s: Sculpture, m: Material) -> None:
    dark = Material(scaled(m.first, 0.72), gloss=m.gloss, exponent=m.exponent)
    with s.group(0.04):
        s.ellipsoid((0, 0, 0), (0.50, 0.22, 0.36), m)
        with s.painting(0.02):
            s.box((0, -0.3, 0), (1, 0.22, 1), Material(scaled(m.first, 1.5)))
    for side in SIDES:
        s.limb((side * 0.14, 0.14, 0.26), (side * 0.17, 0.32, 0.32), 0.03, m)
        s.ball((side * 0.17, 0.35, 0.33), 0.065, EYE)
        with s.group(0.02):
            s.tube(
                [(side * 0.40, 0.02, 0.18), (side * 0.64, 0.10, 0.30), (side * 0.58, 0.22, 0.52)],
                [0.07, 0.065, 0.08],
                m,
            )
        with s.frame(Frame.at((side * 0.54, 0.28, 0.56), (-40, -30 * side, 0))), s.group(0.03):
            s.ellipsoid((0, 0, 0.08), (0.15, 0.10, 0.16), m)
            s.tube(
                [(side * 0.07, 0, 0.14), (side * 0.10, 0, 0.28), (side * 0.01, 0, 0.38)],
                [0.08, 0.06, 0.015],
                m,
            )
            s.tube(
                [(-side * 0.08, 0, 0.14), (-side * 0.11, 0, 0.25), (-side * 0.04, 0, 0.36)],
                [0.055, 0.045, 0.015],
                dark,
            )
        for i in range(3):
            a = math.radians(8 - 34 * i)
            x, z = math.cos(a), math.sin(a)
            s.tube(
                [
                    (side * 0.40 * x, -0.04, 0.30 * z),
                    (side * 0.74 * x, 0.14, 0.66 * z),
                    (side * 0.92 * x, -0.30, 0.84 * z),
                ],
                [0.05, 0.042, 0.014],
                m,
            )
    s.ellipsoid((0, -0.04, 0.36), (0.10, 0.03, 0.03), DARK)
