"""What creatures hold, and the poses for it. Instruments stand on their own as kinds, too."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sctd.embedded.worlds.rich.materials import (
    BRASS,
    COLORS,
    DARK,
    IRON,
    LAMP,
    LIGHT,
    PINE,
    STEEL,
    VARNISH,
    WOOD,
    Material,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.rig import Body
from sctd.embedded.worlds.rich.sculpture import Floats, Frame, Sculpture, axes_along, upright

SIDES = (1, -1)


def tuba(s: Sculpture, m: Material) -> None:
    """A tuba upright, its bell up and to the left, about 2 high."""
    s.lathe(
        (0.22, 0.62, -0.02),
        [(0.13, -0.55), (0.17, -0.05), (0.27, 0.22), (0.48, 0.38), (0.56, 0.40)],
        m,
        0.022,
    )
    s.torus((0.22, 1.02, -0.02), 0.56, 0.03, m)
    # The main bow: down from the bell, round the bottom, up the other side, and a second turn inside it.
    s.tube(
        [
            (0.22, 0.15, -0.02),
            (0.24, -0.45, -0.02),
            (0.16, -0.76, 0),
            (-0.06, -0.90, 0.02),
            (-0.28, -0.76, 0.02),
            (-0.36, -0.45, 0.02),
            (-0.36, 0.20, 0.02),
        ],
        [0.135, 0.16, 0.16, 0.155, 0.145, 0.13, 0.10],
        m,
    )
    s.tube(
        [
            (-0.36, 0.20, 0.02),
            (-0.30, 0.42, 0.04),
            (-0.14, 0.48, 0.06),
            (0.0, 0.36, 0.08),
            (0.02, 0.0, 0.10),
            (0.02, -0.40, 0.12),
        ],
        [0.10, 0.09, 0.085, 0.08, 0.075, 0.07],
        m,
    )
    s.torus((-0.08, -0.44, 0.12), 0.11, 0.058, m, (90, 0, 0))
    s.torus((-0.16, -0.02, 0.12), 0.20, 0.045, m, (90, 0, 0))
    for i in range(3):  # valves
        x = -0.20 + 0.15 * i
        s.rod((x, -0.34, 0.20), (x, 0.12, 0.20), 0.062, m)
        s.rod((x, 0.12, 0.20), (x, 0.20, 0.20), 0.022, STEEL)
        s.frustum((x, 0.21, 0.20), 0.045, 0.045, 0.016, LIGHT)
        s.torus((x, -0.08, 0.20), 0.066, 0.014, STEEL)
    s.tube(
        [(-0.16, 0.10, 0.26), (-0.20, 0.36, 0.22), (-0.16, 0.52, 0.02), (-0.12, 0.56, -0.20)],
        [0.034, 0.032, 0.03, 0.03],
        m,
    )
    s.lathe((-0.12, 0.56, -0.24), [(0.03, 0.05), (0.035, 0.0), (0.07, -0.06)], STEEL, 0.014, (90, 0, 0))


def violin(s: Sculpture, m: Material) -> None:
    """A violin along y, its belly to +z, from the chin rest at y = -0.55 to the scroll at 0.9."""
    edge = Material(scaled(m.first, 0.5), gloss=0.4)
    with s.group(0.05):
        s.ellipsoid((0, -0.30, 0), (0.27, 0.24, 0.075), m)
        s.ellipsoid((0, 0.08, 0), (0.21, 0.20, 0.07), m)
        s.box((0, -0.10, 0), (0.15, 0.22, 0.06), m, rounding=0.05)
        with s.carving(0.02):
            for side in SIDES:
                s.frustum((side * 0.27, -0.10, 0), 0.115, 0.115, 0.2, edge, (90, 0, 0))
        with s.painting(0.004):
            for side in SIDES:
                s.torus((side * 0.15, -0.12, 0.06), 0.075, 0.012, DARK, (90, 0, 90 * side), arc=200)
    s.box((0, 0.30, 0.085), (0.033, 0.40, 0.014), DARK, (-2, 0, 0))
    s.rod((0, 0.24, 0.05), (0, 0.74, 0.065), 0.036, m)
    s.torus((0, 0.80, 0.05), 0.048, 0.026, m, (0, 0, 90))
    for side in SIDES:
        for y in (0.66, 0.73):
            s.rod((side * 0.02, y, 0.06), (side * 0.11, y, 0.06), 0.014, DARK)
    s.box((0, -0.12, 0.10), (0.09, 0.012, 0.04), PINE)
    s.box((0, -0.36, 0.085), (0.04, 0.10, 0.014), DARK)
    s.ellipsoid((-0.10, -0.46, 0.07), (0.09, 0.06, 0.04), DARK)
    for x in (-0.024, -0.008, 0.008, 0.024):
        s.limb((x, -0.28, 0.105), (x * 0.7, 0.68, 0.105), 0.005, LIGHT)


def bow(s: Sculpture, frog: Floats, tip: Floats) -> None:
    """A bow from the hand to its tip."""
    lift = np.array([0, 0.05, 0])
    s.limb(frog + lift, tip + lift * 0.6, 0.014, WOOD, 0.009)
    s.limb(frog, tip, 0.009, LIGHT)
    s.box(frog + lift / 2, (0.02, 0.03, 0.02), DARK)


def guitar(s: Sculpture, m: Material) -> None:
    """A guitar along y, its belly to +z."""
    with s.group(0.06):
        s.ellipsoid((0, -0.52, 0), (0.36, 0.32, 0.10), m)
        s.ellipsoid((0, -0.06, 0), (0.26, 0.24, 0.095), m)
        s.box((0, -0.28, 0), (0.20, 0.28, 0.085), m, rounding=0.06)
        with s.painting(0.005):
            s.ball((0, -0.22, 0.10), 0.12, DARK)
            s.torus((0, -0.22, 0.10), 0.14, 0.016, LIGHT, (90, 0, 0))
    s.box((0, -0.58, 0.11), (0.13, 0.03, 0.025), WOOD)
    s.box((0, 0.46, 0.08), (0.048, 0.50, 0.028), WOOD)
    s.box((0, 1.02, 0.06), (0.075, 0.13, 0.025), DARK, (-8, 0, 0))
    for side in SIDES:
        for y in (0.95, 1.02, 1.09):
            s.ball((side * 0.10, y, 0.05), 0.024, STEEL)
    for x in (-0.03, -0.01, 0.01, 0.03):
        s.limb((x, -0.58, 0.135), (x, 0.94, 0.115), 0.005, LIGHT)


def drum(s: Sculpture, m: Material) -> None:
    s.frustum((0, 0, 0), 0.62, 0.62, 0.36, m)
    for y in (-0.36, 0.36):
        s.torus((0, y, 0), 0.63, 0.05, BRASS)
    s.frustum((0, 0.36, 0), 0.60, 0.60, 0.02, plain((0.95, 0.93, 0.86)))
    for i in range(12):
        a, c = math.radians(30 * i), math.radians(30 * i + 30)
        low, high = (a, c) if i % 2 == 0 else (c, a)
        s.limb(
            (0.64 * math.sin(low), -0.32, 0.64 * math.cos(low)),
            (0.64 * math.sin(high), 0.32, 0.64 * math.cos(high)),
            0.016,
            LIGHT,
        )
    for x, turn in ((-0.2, 30), (0.22, -24)):
        with s.frame(Frame.at((x, 0.46, 0), (0, turn, 0))):
            s.limb((0, 0, -0.45), (0, 0.02, 0.50), 0.03, PINE)
            s.ball((0, 0.02, -0.45), 0.06, PINE)


def axe(s: Sculpture, m: Material) -> None:
    """An axe along y: its handle from -0.8 to 0.75, its edge to +x."""
    s.limb((0, -0.80, 0), (0, 0.75, 0), 0.045, WOOD, 0.04)
    with s.group(0.03):
        s.box((0.0, 0.60, 0), (0.10, 0.11, 0.05), m)
        s.triangle((0.05, 0.62, 0), (0.38, 0.86, 0), (0.38, 0.36, 0), m, 0.022)
    s.limb((0.40, 0.86, 0), (0.40, 0.36, 0), 0.018, STEEL)


def wand(s: Sculpture, m: Material, hand: Floats, tip: Floats) -> None:
    """A wand in a hand, its tip aglow, and the sparks of a spell before it."""
    s.limb(hand - (tip - hand) * 0.25, tip, 0.020, m, 0.013)
    glow = Material((1.0, 0.95, 0.62), gloss=0.6, rim=0.5)
    s.ball(tip, 0.055, glow)
    spark = [
        Material(c, gloss=0.5, rim=0.5) for c in ((1.0, 0.86, 0.30), (0.55, 0.80, 1.0), (0.95, 0.55, 0.95))
    ]
    axes = upright(tip - hand)
    for i in range(14):
        a, r = i * 1.05, 0.05 + 0.016 * i
        point = tip + axes @ np.array([r * math.cos(a), 0.03 + 0.026 * i, r * math.sin(a)])
        s.ball(point, 0.034 - 0.001 * i, spark[i % 3])


def balloon(s: Sculpture, m: Material, hand: Floats) -> None:
    s.limb(hand, hand + np.array([0.02, 0.62, 0.02]), 0.008, LIGHT)
    with s.group(0.03):
        s.ellipsoid(hand + np.array([0.02, 0.84, 0.02]), (0.20, 0.24, 0.20), plain(m.first, 0.6))
        s.ball(hand + np.array([0.02, 0.60, 0.02]), 0.03, plain(m.first, 0.4))


def skis(s: Sculpture, b: Body, m: Material) -> None:
    """Under both feet, with poles in both hands."""
    for leg in b.skeleton.legs:
        x, y, z = leg.end
        s.box((x, y - 0.10, z + 0.12), (0.055, 0.016, 0.62), m, rounding=0.015)
        s.tube(
            [(x, y - 0.10, z + 0.70), (x, y - 0.06, z + 0.84), (x, y + 0.04, z + 0.92)],
            [0.045, 0.04, 0.03],
            m,
        )
        s.box((x, y - 0.06, z + 0.04), (0.07, 0.04, 0.13), DARK, rounding=0.02)
    for side, k in enumerate(SIDES):
        hand = b.hand(side)
        foot = np.array([hand[0] + 0.10 * k, b.skeleton.legs[0].end[1] - 0.08, hand[2] - 0.34])
        s.limb(hand + (hand - foot) * 0.12, foot, 0.018, STEEL, 0.012)
        s.torus(foot + (hand - foot) * 0.12, 0.07, 0.012, DARK)


def oars(s: Sculpture, b: Body, m: Material) -> None:
    """From both hands outwards and down."""
    for side, k in enumerate(SIDES):
        hand = b.hand(side)
        blade = hand + np.array([0.85 * k, -0.42, -0.02])
        s.limb(hand - (blade - hand) * 0.12, blade, 0.026, m, 0.022)
        with s.frame(Frame(blade, upright(blade - hand))):
            s.box((0, 0.12, 0), (0.02, 0.20, 0.085), m, rounding=0.015)


def _held_tuba(s: Sculpture, b: Body, m: Material) -> None:
    with s.frame(Frame.at((0.12, -0.14, 0.42), (6, -14, -14), 0.56)):
        tuba(s, m)


def _held_violin(s: Sculpture, b: Body, m: Material) -> None:
    chin, hand = np.array([0.14, 0.10, 0.22]), b.hand(0)
    along = hand - chin
    # The belly looks up: +z points as high as it can.
    axes = axes_along(upright(along)[:, 1], np.array([0.15, 1.0, 0.25]))
    with s.frame(Frame((chin + along * 0.48).astype(np.float32), axes, 0.68)):
        violin(s, m)
    middle = (chin + along * 0.42 + axes[:, 2] * 0.085).astype(np.float32)
    right = b.hand(1)
    bow(s, right, (right + (middle - right) * 2.1).astype(np.float32))


def _held_guitar(s: Sculpture, b: Body, m: Material) -> None:
    with s.frame(Frame.at((0.02, -0.16, 0.30 + 0.1 * b.species.fat), (0, 0, -62), 0.52)):
        guitar(s, m)


def _held_axe(s: Sculpture, b: Body, m: Material) -> None:
    low, high = b.hand(1), b.hand(0)
    with s.frame(
        Frame(((low + high) / 2 + (high - low) * 0.35).astype(np.float32), upright(high - low), 0.62)
    ):
        axe(s, m)


def _held_wand(s: Sculpture, b: Body, m: Material) -> None:
    hand = b.hand(1)
    wand(s, m, hand, (hand + np.array([-0.10, 0.20, 0.26])).astype(np.float32))


def _held_balloon(s: Sculpture, b: Body, m: Material) -> None:
    balloon(s, m, b.hand(0))


def _held_lamp(s: Sculpture, b: Body, m: Material) -> None:
    """A flower in a hand."""
    hand = b.hand(0)
    s.limb(hand - np.array([0, 0.10, 0]), hand + np.array([0, 0.24, 0.02]), 0.018, plain((0.2, 0.5, 0.18)))
    for i in range(6):
        a = math.radians(60 * i)
        s.ellipsoid(
            hand + np.array([0.085 * math.cos(a), 0.28 + 0.085 * math.sin(a), 0.04]), (0.06, 0.06, 0.03), m
        )
    s.ball(hand + np.array([0, 0.28, 0.05]), 0.05, LAMP)


Hold = Callable[[Sculpture, Body, Material], None]
HELD: dict[str, tuple[str, Hold, Material]] = {
    "tuba": ("hugging", _held_tuba, BRASS),
    "violin": ("fiddling", _held_violin, VARNISH),
    "guitar": ("carrying", _held_guitar, PINE),
    "axe": ("carrying", _held_axe, IRON),
    "wand": ("casting", _held_wand, WOOD),
    "balloon": ("holding", _held_balloon, plain(COLORS["red"], 0.6)),
    "flower": ("holding", _held_lamp, plain(COLORS["pink"])),
    "skis": ("skiing", skis, plain(COLORS["red"], 0.4)),
    "oars": ("rowing", oars, PINE),
}
"""Prop => (the pose that it takes, how it is held, what it is made of)."""
