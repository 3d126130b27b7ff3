"""What is worn on the body: garments, costumes made of them, and packs. Lengths in the rig's units."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sctd.embedded.worlds.rich.materials import (
    COLORS,
    DARK,
    DENIM,
    GOLD,
    LEATHER,
    PLAID,
    STEEL,
    Material,
    Triple,
    cloth,
    fur,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.rig import Body
from sctd.embedded.worlds.rich.sculpture import Floats, Frame, Sculpture

SIDES = (1, -1)
Wear = Callable[[Sculpture, Body, Material], None]


def _along(a: Triple | Floats, b: Triple | Floats, share: float) -> Floats:
    """The point at a share of the way."""
    start, end = np.asarray(a, np.float32), np.asarray(b, np.float32)
    point: Floats = start + (end - start) * share
    return point


def shirt(s: Sculpture, b: Body, m: Material, sleeves: float = 0.78, loose: float = 0.022) -> None:
    """Round the torso and along the arms; ``sleeves``: share of the forearm that is covered."""
    fat, thick = b.torso.scale, b.species.thick
    with s.group(0.05):
        s.limb(
            _along(b.skeleton.pelvis, b.skeleton.chest, 0.12),
            b.skeleton.chest,
            fat * 1.05 + loose,
            m,
            fat * 0.86 + loose,
        )
        if sleeves > 0:
            for root, bend, end in b.skeleton.arms:
                s.limb(root, bend, 0.098 * thick + loose, m, 0.082 * thick + loose)
                s.limb(bend, _along(bend, end, sleeves), 0.082 * thick + loose, m, 0.08 * thick + loose * 1.2)


def trousers(s: Sculpture, b: Body, m: Material) -> None:
    fat, thick = b.torso.scale, b.species.thick
    with s.group(0.05):
        s.ball(_along(b.skeleton.pelvis, b.skeleton.chest, -0.06), fat * 1.07 + 0.015, m)
        for root, bend, end in b.skeleton.legs:
            s.limb(root, bend, 0.125 * thick + 0.02, m, 0.10 * thick + 0.02)
            s.limb(bend, _along(bend, end, 0.72), 0.10 * thick + 0.02, m, 0.10 * thick + 0.02)


def skirt(
    s: Sculpture,
    b: Body,
    m: Material,
    top: float,
    bottom: float,
    wide: float,
    waves: tuple[float, int] = (0.04, 9),
) -> None:
    """A bell from a height of the torso down to another, in its radii."""
    with s.frame(b.torso):
        mid = (top + bottom) / 2
        s.lathe((0, 0, 0), [(0.98, top), (1.14, mid), (wide, bottom)], m, 0.05, waves=waves)


def robe(s: Sculpture, b: Body, m: Material) -> None:
    shirt(s, b, m, 0.85, 0.035)
    low = -1.65 * max(0.45, b.species.leg) if not b.skeleton.four else -0.6
    skirt(s, b, m, b.length * 0.4, low, 1.55)
    with s.frame(b.torso):
        s.torus((0, 0.30, 0), 1.16, 0.07, GOLD)


def armour(s: Sculpture, b: Body, m: Material) -> None:
    thick = b.species.thick
    shirt(s, b, m, 0.0, 0.03)
    with s.frame(b.torso):
        with s.group(0.03):
            s.ellipsoid((0, b.length * 0.62, 0.22), (1.02, 0.95, 1.0), m)
            s.limb((0, b.length * 0.2, 1.1), (0, b.length + 0.2, 1.14), 0.07, m)
        for i in range(7):
            a = math.radians(-105 + 35 * i)
            with s.frame(Frame.at((0, -0.45, 0), (0, math.degrees(a), 0))):
                s.box((0, 0, 1.16), (0.33, 0.36, 0.05), m, (-10, 0, 0), 0.04)
        s.torus((0, -0.05, 0), 1.14, 0.09, LEATHER)
        s.box((0, -0.05, 1.2), (0.16, 0.13, 0.06), GOLD)
    for root, bend, end in b.skeleton.arms:
        s.ellipsoid(_along(root, bend, 0.12), (0.155 * thick, 0.12 * thick, 0.15 * thick), m)
        s.ring(_along(root, bend, 0.30), np.subtract(bend, root), 0.112 * thick, 0.018, GOLD)
        s.limb(_along(root, bend, 0.4), bend, 0.105 * thick, m, 0.10 * thick)
        s.ball(bend, 0.112 * thick, m)
        s.limb(_along(bend, end, 0.2), end, 0.10 * thick, m, 0.10 * thick)
    for root, bend, end in b.skeleton.legs:
        s.limb(root, bend, 0.14 * thick, m, 0.125 * thick)
        s.ball(bend, 0.13 * thick, m)
        s.limb(bend, end, 0.12 * thick, m, 0.10 * thick)
        s.ellipsoid(
            _along(end, (end[0], end[1], end[2] + 1), 0.06), (0.115 * thick, 0.08 * thick, 0.16 * thick), m
        )


def puffy_jacket(s: Sculpture, b: Body, m: Material) -> None:
    nylon = Material(m.first, gloss=0.30, exponent=30)
    seam = Material(scaled(m.first, 0.62))
    thick = b.species.thick
    with s.frame(b.torso):
        for i in range(4):
            y = -0.25 + i * (b.length + 0.75) / 3.4
            s.torus((0, y, 0.02), 0.86 - 0.05 * i, 0.36, nylon)
        s.torus((0, b.length + 0.62, 0.02), 0.56, 0.22, nylon)
        s.limb((0, -0.4, 1.20), (0, b.length + 0.45, 1.12), 0.05, DARK)
        s.torus((0, -0.55, 0.02), 1.02, 0.12, seam)
    for root, bend, end in b.skeleton.arms:
        for share in (0.25, 0.85):
            s.ball(_along(root, bend, share), 0.145 * thick, nylon)
        for share in (0.28, 0.66):
            s.ball(_along(bend, end, share), 0.128 * thick, nylon)


def tutu(s: Sculpture, b: Body, m: Material) -> None:
    shirt(s, b, m, 0.0, 0.015)
    net = Material(m.first, scaled(m.first, 0.86), "fur", 0.05, 0.12, gloss=0.0, rim=0.14)
    with s.frame(b.torso):
        for y, wide, count in ((0.14, 2.25, 15), (-0.02, 2.05, 13), (-0.16, 1.8, 14)):
            s.lathe((0, y, 0), [(0.9, 0.12), (1.3, 0.02), (wide, -0.08)], net, 0.035, waves=(0.11, count))
    for leg in b.skeleton.legs:
        s.ring(
            _along(leg.bend, leg.end, 0.8), np.subtract(leg.end, leg.bend), 0.095 * b.species.thick, 0.022, m
        )


def scarf(s: Sculpture, b: Body, m: Material) -> None:
    wool = Material(m.first, scaled(m.first, 0.6), "knit", 0.06, 0.3, gloss=0.0)
    with s.frame(b.torso), s.group(0.06):
        s.torus((0, b.length + 0.56, 0.10), 0.72, 0.26, wool, (12, 0, 0))
        s.tube(
            [(0.42, b.length + 0.40, 0.80), (0.50, b.length - 0.3, 1.10), (0.56, b.length - 1.1, 1.12)],
            [0.24, 0.22, 0.24],
            wool,
        )


def backpack_shape(s: Sculpture, m: Material) -> None:
    """A backpack, 1 high, standing at the origin, its pocket in front (+z)."""
    dark = Material(scaled(m.first, 0.72), gloss=0.06)
    with s.group(0.03):
        s.box((0, 0, 0), (0.36, 0.46, 0.20), m, rounding=0.15)
        s.ellipsoid((0, 0.30, 0.02), (0.37, 0.24, 0.24), m)
        s.box((0, -0.16, 0.21), (0.27, 0.20, 0.09), dark, rounding=0.07)
        with s.painting(0.006):
            s.torus((0, 0.20, 0.10), 0.34, 0.016, DARK, (75, 0, 0))
            s.box((0, -0.02, 0.3), (0.22, 0.012, 0.12), DARK)
    s.torus((0, 0.54, 0), 0.09, 0.028, dark, (90, 0, 0))
    s.ball((0.20, -0.03, 0.30), 0.028, GOLD)


def backpack(s: Sculpture, b: Body, m: Material) -> None:
    high = b.length
    with s.frame(b.torso):
        with s.frame(Frame.at((0, high * 0.55, -1.30), (0, 180, 0), 2.0)):
            backpack_shape(s, m)
        strap = Material(scaled(m.first, 0.72), gloss=0.06)
        for side in SIDES:
            x = side * 0.55
            s.tube(
                [
                    (x, high + 0.55, -1.0),
                    (x, high + 0.92, -0.1),
                    (x * 1.05, high + 0.42, 0.90),
                    (x * 1.15, high * 0.35, 1.04),
                    (side * 1.10, 0.05, 0.2),
                    (x, -0.05, -1.0),
                ],
                0.12,
                strap,
            )


def apron_cross(s: Sculpture, b: Body, m: Material) -> None:
    """A nurse's dress."""
    shirt(s, b, m, 0.25, 0.025)
    skirt(s, b, m, b.length * 0.3, -1.05 if not b.skeleton.four else -0.5, 1.5)
    cross = plain(COLORS["red"])
    with s.frame(b.torso):
        z = 1.02
        s.box((0, b.length * 0.75, z), (0.26, 0.085, 0.09), cross)
        s.box((0, b.length * 0.75, z), (0.085, 0.26, 0.09), cross)


def clown_suit(s: Sculpture, b: Body, m: Material) -> None:
    suit = Material(m.first, COLORS["red"], "spots", 0.22, gloss=0.0)
    shirt(s, b, suit, 0.8, 0.05)
    trousers(s, b, suit)
    with s.frame(b.torso):
        for y, wide in ((0.62, 1.35), (0.50, 1.25)):
            s.lathe(
                (0, b.length + y, 0.06),
                [(0.5, 0.06), (wide, -0.02)],
                plain((0.95, 0.95, 0.93)),
                0.05,
                waves=(0.12, 11),
            )
        for y in (0.1, 0.62):
            s.ball((0, b.length * y, 1.22 - 0.1 * y), 0.19, fur(COLORS["red"]))
    for leg in b.skeleton.legs:
        s.ellipsoid(
            np.asarray(leg.end) + np.array([0, 0.0, 0.10]), (0.12, 0.085, 0.22), plain(COLORS["red"], 0.5)
        )


def tudor(s: Sculpture, b: Body, m: Material) -> None:
    """A king's gown: wide shoulders, fur at the front, puffed and slashed sleeves, a chain."""
    ermine = Material((0.95, 0.94, 0.91), (0.10, 0.09, 0.09), "spots", 0.15, gloss=0.0)
    gold = Material((0.86, 0.62, 0.20), (0.62, 0.40, 0.10), "plaid", 0.10, gloss=0.2)
    shirt(s, b, gold, 0.0, 0.03)
    skirt(s, b, gold, 0.5, -0.95, 1.35, (0.05, 12))
    with s.frame(b.torso):
        with s.group(0.08):
            for side in SIDES:
                s.ellipsoid((side * 1.10, b.length + 0.10, -0.05), (0.75, 0.55, 0.80), m)
                s.tube(
                    [
                        (side * 0.9, b.length + 0.1, -0.2),
                        (side * 1.10, 0.3, -0.30),
                        (side * 1.15, -1.35, -0.32),
                    ],
                    [0.52, 0.42, 0.50],
                    m,
                )
            s.ellipsoid((0, 0.2, -0.85), (1.0, 1.9, 0.35), m)
        for side in SIDES:
            s.tube(
                [
                    (side * 0.45, b.length + 0.62, 0.55),
                    (side * 0.74, b.length * 0.55, 0.98),
                    (side * 0.92, -0.3, 0.95),
                    (side * 0.98, -1.25, 0.78),
                ],
                [0.20, 0.24, 0.22, 0.22],
                ermine,
            )
        for i in range(11):
            a = math.radians(-75 + 15 * i)
            s.ball(
                (0.86 * math.sin(a), b.length + 0.10 - 0.62 * math.cos(a), 0.55 + 0.62 * math.cos(a)),
                0.10,
                GOLD,
            )
        s.frustum((0, b.length - 0.62, 1.24), 0.20, 0.20, 0.04, GOLD, (90, 0, 0))
        s.ball((0, b.length - 0.62, 1.28), 0.09, plain((0.7, 0.03, 0.08), 0.8))
        s.torus((0, -0.05, 0), 1.16, 0.08, LEATHER)
    for root, bend, end in b.skeleton.arms:
        puff = Material((0.72, 0.12, 0.14), (0.94, 0.90, 0.80), "stripes", 0.13, gloss=0.1)
        s.ellipsoid(_along(root, bend, 0.5), (0.17, 0.19, 0.17), puff)
        s.limb(bend, _along(bend, end, 0.8), 0.10, m, 0.10)
        s.ring(_along(bend, end, 0.82), np.subtract(end, bend), 0.085, 0.04, plain((0.96, 0.95, 0.93)))


def lumberjack(s: Sculpture, b: Body, m: Material) -> None:
    shirt(s, b, Material(m.first, PLAID.second, "plaid", PLAID.period, gloss=0.0), 0.85, 0.028)
    trousers(s, b, DENIM)
    with s.frame(b.torso):
        for side in SIDES:
            front = [
                (side * 0.52, 0.0, 1.08),
                (side * 0.50, b.length * 0.6, 1.06),
                (side * 0.46, b.length + 0.55, 0.72),
                (side * 0.44, b.length + 0.80, 0.0),
                (side * 0.44, b.length * 0.6, -1.0),
                (side * 0.46, 0, -1.1),
            ]
            s.tube(front, 0.075, LEATHER)
        s.torus((0, 0.02, 0), 1.10, 0.07, LEATHER)
    for leg in b.skeleton.legs:
        s.ellipsoid(np.asarray(leg.end) + np.array([0, 0, 0.05]), (0.12, 0.09, 0.17), LEATHER)


def dress(s: Sculpture, b: Body, m: Material) -> None:
    shirt(s, b, m, 0.2, 0.02)
    skirt(s, b, m, 0.5, -1.1 if not b.skeleton.four else -0.5, 1.5)


CLOTHES: dict[str, tuple[Wear, Triple | None]] = {
    "shirt": (shirt, COLORS["cyan"]),
    "scarf": (scarf, COLORS["red"]),
    "backpack": (backpack, COLORS["red"]),
    "puffy jacket": (puffy_jacket, COLORS["orange"]),
    "tutu": (tutu, COLORS["pink"]),
    "armour": (armour, None),
    "robe": (robe, (0.22, 0.17, 0.58)),
    "dress": (dress, COLORS["purple"]),
    "nurse dress": (apron_cross, (0.94, 0.95, 0.95)),
    "clown suit": (clown_suit, (0.96, 0.86, 0.26)),
    "gown": (tudor, (0.50, 0.07, 0.10)),
    "plaid shirt": (lumberjack, (0.80, 0.12, 0.10)),
}
"""Name => (how it is put on, its usual colour); None: steel."""


def clothes_material(name: str, color: Triple | None) -> Material:
    """What a garment is made of, in its usual colour or another."""
    usual = color or CLOTHES[name][1]
    return STEEL if usual is None else cloth(usual)
