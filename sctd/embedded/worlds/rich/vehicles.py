"""Vehicles; their fronts face +z. ``m`` is the body's material."""

from __future__ import annotations

import math

import numpy as np

from sctd.embedded.worlds.rich.materials import (
    COLORS,
    DARK,
    IRON,
    LAMP,
    LEATHER,
    LIGHT,
    PINE,
    RUBBER,
    STEEL,
    WINDOW,
    WOOD,
    Material,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)
RED_LAMP = plain((0.75, 0.05, 0.06), 0.6)


def wheel(
    s: Sculpture, x: float, y: float, z: float, radius: float, width: float, hub: Material = STEEL
) -> None:
    """A tyre with a rim and five holes; its axle along x."""
    with s.frame(Frame.at((x, y, z), (0, 0, 90))):
        s.frustum((0, 0, 0), radius, radius, width, RUBBER, rounding=width * 0.45)
        with s.group():
            s.frustum((0, 0, 0), radius * 0.62, radius * 0.62, width * 1.06, hub)
            with s.painting(0.004):
                for i in range(5):
                    a = math.radians(72 * i)
                    s.ball((radius * 0.38 * math.sin(a), 0, radius * 0.38 * math.cos(a)), radius * 0.15, DARK)


def car(s: Sculpture, m: Material) -> None:
    with s.group(0.06):
        s.box((0, -0.12, 0), (0.40, 0.16, 0.90), m, rounding=0.13)
        s.box((0, 0.02, 0.55), (0.36, 0.06, 0.30), m, (6, 0, 0), 0.06)
        s.box((0, 0.16, -0.16), (0.335, 0.20, 0.46), m, rounding=0.17)
        with s.carving(0.02):
            for z in (-0.54, 0.54):
                for side in SIDES:
                    s.frustum((side * 0.40, -0.24, z), 0.225, 0.225, 0.13, DARK, (0, 0, 90))
        with s.painting(0.006):
            for z, half in ((-0.36, 0.19), (0.05, 0.16)):
                s.box((0, 0.19, z), (0.6, 0.105, half), WINDOW, rounding=0.05)
            s.box((0, 0.19, 0.34), (0.27, 0.11, 0.20), WINDOW, rounding=0.05)
            s.box((0, 0.20, -0.66), (0.26, 0.10, 0.16), WINDOW, rounding=0.05)
            for side in SIDES:  # gaps of the doors
                for z in (-0.56, -0.15, 0.26):
                    s.box((side * 0.42, -0.06, z), (0.08, 0.17, 0.006), DARK)
            s.box((0, -0.10, 0.95), (0.20, 0.055, 0.15), DARK, rounding=0.03)
    for z in (-0.54, 0.54):
        for side in SIDES:
            wheel(s, side * 0.36, -0.26, z, 0.19, 0.075)
    for side in SIDES:
        s.ellipsoid((side * 0.27, -0.06, 0.86), (0.085, 0.07, 0.06), LAMP)
        s.box((side * 0.28, -0.07, -0.89), (0.08, 0.045, 0.03), RED_LAMP)
        s.ellipsoid((side * 0.42, 0.10, 0.26), (0.06, 0.04, 0.03), m)
        s.box((side * 0.41, -0.01, -0.08), (0.015, 0.012, 0.05), STEEL)
    for z in (0.90, -0.90):
        s.box((0, -0.22, z), (0.36, 0.045, 0.05), STEEL, rounding=0.04)


def school_bus(s: Sculpture, m: Material) -> None:
    with s.group(0.02):
        s.box((0, 0.14, -0.16), (0.36, 0.38, 0.74), m, rounding=0.09)
        s.box((0, -0.06, 0.74), (0.31, 0.19, 0.24), m, rounding=0.08)
        with s.carving(0.01):
            for z in (-0.52, 0.66):
                for side in SIDES:
                    s.frustum((side * 0.36, -0.26, z), 0.20, 0.20, 0.12, DARK, (0, 0, 90))
        with s.painting(0.005):
            for i in range(6):
                s.box((0, 0.25, -0.76 + 0.235 * i), (0.6, 0.115, 0.085), WINDOW, rounding=0.02)
            s.box((0, 0.25, 0.58), (0.29, 0.14, 0.15), WINDOW, rounding=0.03)
            s.box((0, 0.24, -0.9), (0.22, 0.12, 0.10), WINDOW, rounding=0.02)
            for y in (0.07, -0.02, -0.14):
                s.box((0, y, -0.24), (0.6, 0.011, 0.68), DARK)
            s.box((0, -0.03, 0.98), (0.19, 0.10, 0.10), DARK, rounding=0.02)
            s.box((-0.36, 0.06, 0.46), (0.1, 0.24, 0.085), WINDOW, rounding=0.02)
    for z in (-0.52, 0.66):
        for side in SIDES:
            wheel(s, side * 0.32, -0.27, z, 0.17, 0.075, LIGHT)
    for side in SIDES:
        s.ball((side * 0.23, -0.04, 0.96), 0.065, LAMP)
        for z in (0.57, -0.89):
            s.ball((side * 0.24, 0.46, z), 0.045, RED_LAMP)
        s.tube([(side * 0.32, 0.10, 0.90), (side * 0.42, 0.16, 0.96)], 0.014, DARK)
        s.ellipsoid((side * 0.43, 0.20, 0.96), (0.05, 0.075, 0.03), DARK)
    s.box((0, 0.46, 0.565), (0.17, 0.05, 0.02), DARK)
    for z in (0.98, -0.90):
        s.box((0, -0.21, z), (0.35, 0.05, 0.04), DARK, rounding=0.03)
    sign = plain(COLORS["red"], 0.2)
    s.box((0.39, 0.02, 0.24), (0.02, 0.085, 0.085), sign, rounding=0.03)


def bulldozer(s: Sculpture, m: Material) -> None:
    for side in SIDES:
        with s.group():
            s.box((side * 0.36, -0.40, -0.12), (0.13, 0.21, 0.58), RUBBER, rounding=0.20)
            with s.painting(0.005):
                for i in range(12):
                    s.box((side * 0.36, -0.40, -0.66 + 0.10 * i), (0.2, 0.30, 0.018), IRON)
        for z in (-0.50, -0.12, 0.26):
            s.frustum((side * 0.44, -0.40, z), 0.13, 0.13, 0.07, m, (0, 0, 90), 0.02)
    s.box((0, -0.22, 0.0), (0.26, 0.16, 0.56), m, rounding=0.05)
    with s.group():
        s.box((0, 0.02, 0.26), (0.23, 0.19, 0.32), m, rounding=0.06)
        with s.painting(0.004):
            for i in range(4):
                s.box((0, 0.12 - 0.06 * i, 0.58), (0.17, 0.013, 0.06), DARK)
    s.rod((0.10, 0.20, 0.30), (0.10, 0.48, 0.30), 0.045, IRON)
    with s.group():
        s.box((0, 0.26, -0.30), (0.27, 0.36, 0.27), m, rounding=0.05)
        with s.painting(0.005):
            s.box((0, 0.32, -0.30), (0.5, 0.18, 0.19), WINDOW, rounding=0.03)
            s.box((0, 0.32, -0.30), (0.20, 0.18, 0.5), WINDOW, rounding=0.03)
    s.box((0, 0.64, -0.30), (0.32, 0.04, 0.33), scaled_of(m, 0.8), rounding=0.03)
    with s.group(0.02):  # the blade: a slice of a cylinder
        s.box((0, -0.30, 0.78), (0.66, 0.32, 0.14), m, rounding=0.02)
        with s.carving(0.01):
            s.frustum((0, -0.26, 1.10), 0.36, 0.36, 0.8, m, (0, 0, 90))
    s.box((0, -0.61, 0.90), (0.66, 0.022, 0.06), STEEL)
    for side in SIDES:
        s.limb((side * 0.53, -0.42, -0.05), (side * 0.50, -0.40, 0.62), 0.055, scaled_of(m, 0.8))
        s.rod((side * 0.20, -0.02, 0.48), (side * 0.26, -0.22, 0.66), 0.035, STEEL)


def scaled_of(m: Material, factor: float) -> Material:
    """The same material, darker or lighter by a factor."""
    return Material(scaled(m.first, factor), gloss=m.gloss, exponent=m.exponent, metal=m.metal)


def motorcycle(s: Sculpture, m: Material) -> None:
    for z in (-0.60, 0.66):
        with s.frame(Frame.at((0, -0.36, z), (0, 0, 90))):
            s.torus((0, 0, 0), 0.245, 0.085, RUBBER)
            s.torus((0, 0, 0), 0.175, 0.03, STEEL)
            s.frustum((0, 0, 0), 0.065, 0.065, 0.09, IRON)
            for i in range(4):
                a = math.radians(45 * i)
                s.rod((0, 0, 0), (0.17 * math.sin(a), 0, 0.17 * math.cos(a)), 0.014, STEEL)
                s.rod((0, 0, 0), (-0.17 * math.sin(a), 0, -0.17 * math.cos(a)), 0.014, STEEL)
    for side in SIDES:
        s.limb((side * 0.11, -0.36, 0.66), (side * 0.11, 0.26, 0.42), 0.036, STEEL)
        s.limb((side * 0.11, -0.36, -0.60), (side * 0.10, -0.26, -0.10), 0.035, IRON)
        s.tube(
            [(side * 0.04, 0.30, 0.40), (side * 0.26, 0.40, 0.36), (side * 0.38, 0.34, 0.24)], 0.026, STEEL
        )
        s.limb((side * 0.33, 0.365, 0.30), (side * 0.44, 0.31, 0.18), 0.04, RUBBER)
        s.limb((side * 0.16, -0.30, 0.06), (side * 0.17, -0.34, -0.70), 0.055, STEEL, 0.075)
        s.limb((side * 0.11, -0.20, -0.55), (side * 0.11, 0.05, -0.40), 0.032, STEEL)
    with s.group(0.06):
        s.ellipsoid((0, 0.19, 0.12), (0.155, 0.15, 0.29), m)
        s.limb((0, 0.10, 0.34), (0, 0.26, 0.42), 0.07, m)
    with s.group(0.05):
        s.ellipsoid((0, 0.10, -0.32), (0.14, 0.075, 0.26), LEATHER)
        s.ellipsoid((0, 0.17, -0.56), (0.11, 0.07, 0.12), LEATHER)
    with s.group(0.04):
        s.box((0, -0.20, 0.08), (0.13, 0.15, 0.20), IRON, rounding=0.05)
        s.frustum((0, -0.02, 0.18), 0.10, 0.10, 0.12, STEEL, (24, 0, 0), 0.02)
        s.frustum((0, -0.02, -0.04), 0.10, 0.10, 0.12, STEEL, (-24, 0, 0), 0.02)
    for side in SIDES:
        s.frustum((side * 0.13, -0.22, 0.08), 0.10, 0.09, 0.03, STEEL, (0, 0, 90), 0.01)
    for z, turn in ((0.66, -78), (-0.62, -112)):  # mudguards
        with s.frame(Frame.at((0, -0.36, z), (turn, 0, 0))):
            s.torus((0, 0, 0), 0.345, 0.062, m, (0, 0, 90), arc=120)
    s.ball((0, 0.24, 0.55), 0.115, m)
    s.frustum((0, 0.24, 0.63), 0.10, 0.10, 0.03, LAMP, (90, 0, 0))
    s.box((0, 0.10, -0.72), (0.06, 0.04, 0.03), RED_LAMP)


def road_bike(s: Sculpture, m: Material) -> None:
    front, rear, low = np.array([0, -0.30, 0.56]), np.array([0, -0.30, -0.54]), np.array([0, -0.28, -0.06])
    head_low, head_high, seat = (
        np.array([0, 0.17, 0.40]),
        np.array([0, 0.33, 0.35]),
        np.array([0, 0.24, -0.22]),
    )
    for hub in (front, rear):
        with s.frame(Frame.at(hub, (0, 0, 90))):
            s.torus((0, 0, 0), 0.36, 0.034, RUBBER)
            s.torus((0, 0, 0), 0.325, 0.018, STEEL)
            s.frustum((0, 0, 0), 0.03, 0.03, 0.06, IRON)
            for i in range(10):
                a = math.radians(36 * i)
                s.limb((0.02, 0, 0), (0.32 * math.sin(a), 0, 0.32 * math.cos(a)), 0.0065, STEEL)
    tube = 0.034
    with s.group(0.02):
        for start, end in (
            (low, seat),
            (low, head_low),
            (seat * 0.96 + low * 0.04, head_high * 0.75 + head_low * 0.25),
            (head_low, head_high),
        ):
            s.limb(start, end, tube, m)
        for side in SIDES:
            out = np.array([0.05 * side, 0, 0])
            s.limb(rear + out, low + out * 0.4, 0.02, m)
            s.limb(rear + out, seat + out * 0.4, 0.018, m)
            s.tube(
                [head_low + out * 0.8, (head_low + front) / 2 + out + np.array([0, 0, -0.01]), front + out],
                0.022,
                m,
            )
    s.limb(seat, seat + np.array([0, 0.14, -0.045]), 0.024, IRON)
    with s.group(0.04):
        s.ellipsoid(seat + np.array([0, 0.17, -0.10]), (0.095, 0.035, 0.10), DARK)
        s.limb(seat + np.array([0, 0.17, -0.04]), seat + np.array([0, 0.16, 0.14]), 0.035, DARK, 0.022)
    stem = head_high + np.array([0, 0.07, 0.06])
    s.limb(head_high, stem, 0.024, IRON)
    for side in SIDES:  # drop bars
        x = side * 0.23
        s.limb(stem, (x, stem[1], stem[2] + 0.02), 0.020, IRON)
        s.tube(
            [
                (x, stem[1], stem[2] + 0.02),
                (x, stem[1] - 0.01, stem[2] + 0.16),
                (x, stem[1] - 0.11, stem[2] + 0.19),
                (x, stem[1] - 0.19, stem[2] + 0.09),
                (x, stem[1] - 0.19, stem[2] - 0.03),
            ],
            0.024,
            DARK,
        )
    s.frustum(low + np.array([-0.05, 0, 0]), 0.115, 0.115, 0.010, IRON, (0, 0, 90))
    for side in SIDES:
        pedal = low + np.array([0.085 * side, -0.16 * side, 0.05 * side])
        s.limb(low + np.array([0.06 * side, 0, 0]), pedal, 0.016, STEEL)
        s.box(pedal + np.array([0.05 * side, 0, 0]), (0.055, 0.014, 0.045), DARK)
    for dy in (0.10, -0.09):
        s.limb(low + np.array([-0.05, dy, 0]), rear + np.array([-0.05, dy * 0.4, 0]), 0.008, DARK)


def biplane(s: Sculpture, m: Material) -> None:
    """The cockpit lies open at (0, 0.18, -0.10)."""
    other = plain((0.95, 0.92, 0.82), 0.15)
    with s.group(0.05):
        s.limb((0, 0.0, 0.46), (0, 0.02, -0.10), 0.20, m, 0.19)
        s.limb((0, 0.02, -0.10), (0, 0.08, -0.86), 0.185, m, 0.055)
        with s.carving(0.02):
            s.ellipsoid((0, 0.24, -0.12), (0.13, 0.16, 0.15), DARK)
    s.torus((0, 0.165, -0.12), 0.135, 0.025, LEATHER, (4, 0, 0))
    s.frustum((0, 0, 0.60), 0.20, 0.185, 0.09, STEEL, (90, 0, 0), 0.03)
    s.ball((0, 0, 0.70), 0.085, other)
    for turn in (25, 205):
        with s.frame(Frame.at((0, 0, 0.73), (0, 0, turn))):
            s.ellipsoid((0, 0.21, 0), (0.05, 0.21, 0.018), WOOD, (0, 18, 0))
    for y, half, z in ((-0.16, 0.86, 0.22), (0.46, 0.94, 0.28)):
        with s.group():
            s.box((0, y, z), (half, 0.024, 0.19), other if y < 0 else m, rounding=0.022)
            with s.painting(0.006):
                for side in SIDES:
                    s.frustum((side * half * 0.74, y, z), 0.12, 0.12, 0.05, plain(COLORS["blue"], 0.2))
                    s.frustum((side * half * 0.74, y, z), 0.07, 0.07, 0.06, LIGHT)
                    s.frustum((side * half * 0.74, y, z), 0.035, 0.035, 0.07, plain(COLORS["red"], 0.2))
    for side in SIDES:
        for x, dx in ((0.58, 0.06), (0.13, 0.02)):
            for z in (0.10, 0.38):
                low = (side * x, -0.14, z) if x > 0.3 else (side * x, 0.10, z)
                s.limb(low, (side * (x + dx), 0.46, z + 0.05), 0.018, WOOD)
        s.limb((side * 0.10, -0.14, 0.36), (side * 0.22, -0.38, 0.34), 0.022, WOOD)
        wheel(s, side * 0.26, -0.40, 0.34, 0.13, 0.04)
    s.limb((-0.26, -0.40, 0.34), (0.26, -0.40, 0.34), 0.018, STEEL)
    s.box((0, 0.10, -0.82), (0.32, 0.018, 0.13), other, rounding=0.016)
    with s.group(0.03):
        s.ellipsoid((0, 0.26, -0.86), (0.02, 0.20, 0.14), m)
    s.limb((0, 0.02, -0.80), (0, -0.08, -0.88), 0.016, IRON)


def boat(s: Sculpture, m: Material) -> None:
    """A rowing boat, open above; its seat is at (0, -0.06, -0.05)."""
    with s.group(0.03):
        s.ellipsoid((0, 0.10, 0), (0.40, 0.42, 0.95), m)
        with s.carving(0.015):
            s.ellipsoid((0, 0.16, 0), (0.34, 0.36, 0.87), WOOD)
            s.box((0, 0.52, 0), (1, 0.45, 1.2), WOOD)
        with s.painting(0.01):
            s.ellipsoid((0, 0.16, 0), (0.355, 0.38, 0.89), PINE)
    rail = Material(scaled(m.first, 0.6), gloss=0.2)
    n, points = 24, []
    for i in range(n + 1):
        a = 2 * math.pi * i / n
        points.append((0.392 * math.sin(a), 0.08, 0.935 * math.cos(a)))
    s.tube(points, 0.028, rail)
    for z, half in ((-0.08, 0.36), (-0.58, 0.27), (0.48, 0.30)):
        s.box((0, -0.02, z), (half, 0.022, 0.085), WOOD, rounding=0.015)
    for side in SIDES:
        s.limb((side * 0.40, 0.08, 0.14), (side * 0.40, 0.17, 0.14), 0.02, IRON)
