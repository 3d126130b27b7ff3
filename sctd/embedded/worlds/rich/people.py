"""Robots and astronauts: bodies of their own on the creatures' skeleton."""

from __future__ import annotations

import numpy as np

from sctd.embedded.worlds.rich.clothes import SIDES
from sctd.embedded.worlds.rich.materials import (
    COLORS,
    DARK,
    GRASS,
    IRON,
    LAMP,
    LIGHT,
    STEEL,
    VEGETABLES,
    Material,
    metal,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.rig import Body, Skeleton, torso_frame
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture
from sctd.embedded.worlds.rich.species import Species

ROBOT = Species(
    (0.66, 0.69, 0.74),
    head=0.27,
    face=(1.0, 0.9, 0.9),
    fat=1.0,
    leg=1.1,
    stance="upright",
    eye_at=(0.40, 0.10),
    eye=0.2,
    ears="side",
)
ASTRONAUT = Species(
    (0.93, 0.93, 0.92), head=0.31, face=(1.0, 1.0, 1.0), fat=1.1, leg=1.0, thick=1.25, stance="upright"
)


def robot(s: Sculpture, bones: Skeleton, m: Material) -> Body:
    """A humanoid robot: plates and ball joints, lamps for eyes."""
    torso, dark = torso_frame(ROBOT, bones), IRON
    length = float(np.linalg.norm(np.asarray(bones.chest) - np.asarray(bones.pelvis))) / torso.scale
    with s.frame(torso):
        with s.group():
            s.box((0, length * 0.68, 0), (1.12, 0.92, 0.80), m, rounding=0.26)
            with s.painting(0.01):
                s.box((0, length * 0.80, 0.8), (0.52, 0.34, 0.3), DARK, rounding=0.08)
        for i, name in enumerate(("red", "yellow", "green")):
            s.ball((-0.28 + 0.28 * i, length * 0.88, 0.80), 0.10, plain(COLORS[name], 0.6))
        s.box((0, length * 0.72, 0.80), (0.34, 0.05, 0.04), LAMP)
        s.frustum((0, 0.02, 0), 0.55, 0.60, 0.30, dark)
        s.box((0, -0.30, 0), (0.80, 0.30, 0.60), m, rounding=0.18)
        s.frustum((0, length + 0.66, 0), 0.34, 0.30, 0.32, dark)
    for limbs, width in ((bones.arms, 0.068), (bones.legs, 0.090)):
        for root, bend, end in limbs:
            s.ball(root, width * 1.35, dark)
            s.rod(_towards(root, bend, 0.12), _towards(root, bend, 0.92), width * 0.95, m, width * 0.85)
            s.ball(bend, width * 0.98, dark)
            s.rod(_towards(bend, end, 0.10), _towards(bend, end, 0.88), width * 0.85, m, width * 1.1)
            s.ball(end, width * 1.02, dark)
    for leg in bones.legs:
        s.box(np.asarray(leg.end) + np.array([0, -0.02, 0.05]), (0.095, 0.06, 0.155), m, rounding=0.04)
    for arm in bones.arms:
        hand = np.asarray(arm.end) + 0.45 * 0.2 * (np.asarray(arm.end) - np.asarray(arm.bend))
        for k in SIDES:
            s.limb(hand, hand + np.array([0.05 * k, -0.02, 0.05]), 0.026, m)
    head = Frame.at(bones.head, bones.head_turn, ROBOT.head)
    with s.frame(head):
        with s.group():
            s.box((0, 0, 0), (1.0, 0.86, 0.82), m, rounding=0.34)
            with s.painting(0.01):
                s.box((0, 0.08, 0.9), (0.78, 0.36, 0.4), DARK, rounding=0.2)
                for x in (-0.24, -0.08, 0.08, 0.24):
                    s.box((x, -0.52, 0.9), (0.055, 0.10, 0.3), DARK)
        for side in SIDES:
            s.ball((side * 0.40, 0.10, 0.76), 0.19, Material((0.35, 0.85, 1.0), gloss=0.7, rim=0.4))
            s.frustum((side * 1.06, 0, 0), 0.30, 0.24, 0.10, dark, (0, 0, -90 * side))
        s.limb((0, 0.85, 0), (0, 1.25, 0), 0.05, dark)
        s.ball((0, 1.32, 0), 0.13, plain(COLORS["red"], 0.6))
    return Body(ROBOT, bones, 0, head, torso, length)


def vegetable_robot(s: Sculpture, bones: Skeleton) -> Body:
    """A robot made of vegetables."""
    torso, v = torso_frame(ROBOT, bones), VEGETABLES
    length = float(np.linalg.norm(np.asarray(bones.chest) - np.asarray(bones.pelvis))) / torso.scale
    pea = plain((0.46, 0.72, 0.24), 0.35)
    with s.frame(torso):
        s.ellipsoid((0, length * 0.62, 0), (0.98, 1.18, 0.82), v["aubergine"])
        for i in range(3):
            s.ball((-0.26 + 0.26 * i, length * 0.86, 0.78), 0.13, pea)
        s.ellipsoid((0, length * 0.42, 0.74), (0.36, 0.17, 0.16), v["corn"], (0, 0, 90))
        s.ellipsoid((0, -0.32, 0), (0.84, 0.42, 0.66), v["potato"])
        s.frustum((0, length + 0.58, 0), 0.30, 0.26, 0.36, v["cucumber"])
    for root, bend, end in bones.arms:
        s.ball(root, 0.105, v["radish"])
        s.limb(_towards(root, bend, 0.2), bend, 0.068, v["cucumber"], 0.062)
        s.ball(bend, 0.070, pea)
        s.limb(_towards(bend, end, 0.1), end, 0.085, v["carrot"], 0.040)
        with s.group(0.02):
            for dx, dy, dz in (
                (0, 0, 0),
                (0.05, -0.03, 0.03),
                (-0.05, -0.03, 0.03),
                (0, -0.05, -0.04),
                (0.02, -0.02, 0.06),
            ):
                s.ball(np.asarray(end) + np.array([dx, dy, dz]), 0.055, v["broccoli"])
    for root, bend, end in bones.legs:
        s.ball(root, 0.115, v["tomato"])
        s.limb(_towards(root, bend, 0.3), bend, 0.095, v["corn"], 0.085)
        s.ball(bend, 0.088, v["radish"])
        s.limb(_towards(bend, end, 0.2), end, 0.085, v["cucumber"], 0.085)
        s.ellipsoid(np.asarray(end) + np.array([0, -0.02, 0.06]), (0.11, 0.075, 0.17), v["potato"])
    head = Frame.at(bones.head, bones.head_turn, ROBOT.head)
    with s.frame(head):
        with s.group(0.10):
            s.torus((0, 0.12, 0), 0.30, 0.70, v["tomato"])
            s.ellipsoid((0, -0.06, 0), (0.98, 0.80, 0.96), v["tomato"])
        for i in range(7):
            with s.frame(Frame.at((0, 0.72, 0), (0, 51 * i, 0))):
                s.triangle((-0.12, 0, 0), (0.12, 0, 0), (0, -0.04, 0.62), GRASS, 0.04)
        s.limb((0, 0.72, 0), (0.04, 1.12, 0), 0.08, GRASS, 0.06)
        for side in SIDES:
            s.frustum((side * 0.38, 0.12, 0.84), 0.22, 0.22, 0.10, v["cucumber"], (90, 0, 0), 0.02)
            s.ball((side * 0.38, 0.12, 0.90), 0.12, DARK)
            s.ellipsoid((side * 1.02, 0.0, 0), (0.16, 0.30, 0.30), v["radish"])
        for i in range(5):
            s.box(
                (-0.24 + 0.12 * i, -0.40, 0.84 - 0.02 * abs(i - 2)),
                (0.045, 0.075, 0.06),
                v["corn"],
                rounding=0.02,
            )
    return Body(ROBOT, bones, 0, head, torso, length)


def _towards(
    a: tuple[float, float, float], b: tuple[float, float, float], share: float
) -> tuple[float, float, float]:
    x, y, z = (float(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return (x, y, z)


def astronaut(s: Sculpture, bones: Skeleton, m: Material) -> Body:
    """A space suit with a mirrored visor and a life-support pack."""
    torso = torso_frame(ASTRONAUT, bones)
    length = float(np.linalg.norm(np.asarray(bones.chest) - np.asarray(bones.pelvis))) / torso.scale
    fold = Material(scaled(m.first, 0.80))
    with s.group(0.05):
        s.limb(bones.pelvis, bones.chest, torso.scale * 1.0, m, torso.scale * 0.95)
        for root, bend, end in bones.arms:
            s.limb(root, bend, 0.115, m, 0.105)
            s.limb(bend, end, 0.105, m, 0.09)
        for root, bend, end in bones.legs:
            s.limb(root, bend, 0.14, m, 0.125)
            s.limb(bend, end, 0.125, m, 0.11)
    for limbs, r in ((bones.arms, 0.105), (bones.legs, 0.125)):
        for root, bend, end in limbs:
            along = np.asarray(end) - np.asarray(bend)
            s.ring(bend, np.asarray(end) - np.asarray(root), r, 0.022, fold)
            s.ring(_towards(bend, end, 0.78), along, r * 0.92, 0.026, plain(COLORS["blue"], 0.1))
    for arm in bones.arms:
        s.ball(arm.end, 0.105, Material(scaled(m.first, 0.62)))
    for leg in bones.legs:
        s.ellipsoid(
            np.asarray(leg.end) + np.array([0, -0.01, 0.06]),
            (0.125, 0.10, 0.19),
            Material(scaled(m.first, 0.62)),
        )
    with s.frame(torso):
        s.box((0, length * 0.55, -1.05), (0.85, 1.05, 0.42), m, rounding=0.18)
        with s.group():
            s.box((0, length * 0.52, 0.95), (0.52, 0.34, 0.16), fold, rounding=0.08)
            with s.painting(0.006):
                for i, name in enumerate(("red", "green", "blue")):
                    s.ball((-0.28 + 0.28 * i, length * 0.56, 1.12), 0.09, plain(COLORS[name], 0.4))
        for side in SIDES:
            s.tube(
                [
                    (side * 0.40, length * 0.3, 0.98),
                    (side * 0.95, length * 0.2, 0.6),
                    (side * 0.95, length * 0.2, -0.7),
                ],
                0.075,
                fold,
            )
        s.torus((0, length + 0.45, 0.05), 0.80, 0.13, STEEL)
    head = Frame.at(bones.head, bones.head_turn, ASTRONAUT.head)
    with s.frame(head):
        with s.group(0.02):
            s.ball((0, 0.02, 0), 1.0, m)
            with s.painting(0.01):
                s.ellipsoid((0, 0.04, 0.75), (0.74, 0.56, 0.75), metal((0.92, 0.66, 0.22)))
        s.torus((0, 0.04, 0.66), 0.68, 0.07, LIGHT, (90, 0, 0))
        for side in SIDES:
            s.frustum((side * 0.98, 0.02, 0), 0.24, 0.20, 0.10, fold, (0, 0, -90 * side))
    return Body(ASTRONAUT, bones, 0, head, torso, length)
