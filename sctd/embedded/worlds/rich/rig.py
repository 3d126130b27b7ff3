"""One rig for all creatures: a skeleton in a pose, a body round it, and places to put things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sctd.embedded.worlds.rich.materials import Material, Triple, fur, plain, scaled
from sctd.embedded.worlds.rich.sculpture import Floats, Frame, Sculpture, axes_along
from sctd.embedded.worlds.rich.species import Species


class Limb(NamedTuple):
    """Root, bend and end."""

    root: Triple
    bend: Triple
    end: Triple


@dataclass(frozen=True)
class Skeleton:
    """Joints of the left side (+x) and of the right; the rig's own units, feet near y = -0.8."""

    pelvis: Triple
    chest: Triple
    head: Triple
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    tail: Triple
    """Its root."""
    head_turn: Triple = (0, 0, 0)
    four: bool = False
    """Whether it stands on its hands."""


def _pair(limb: Limb) -> tuple[Limb, Limb]:
    return limb, Limb(*((-x, y, z) for x, y, z in limb))


def _upright(leg: float) -> Skeleton:
    low = -0.42
    foot, knee = low - 0.36 * leg, low - 0.18 * leg
    return Skeleton(
        pelvis=(0, -0.34, 0),
        chest=(0, -0.03, 0),
        head=(0, 0.40, 0.03),
        arms=_pair(Limb((0.17, 0.04, 0.0), (0.31, -0.10, 0.04), (0.36, -0.27, 0.12))),
        legs=_pair(Limb((0.12, low, 0.0), (0.145, knee, 0.03), (0.15, foot, 0.02))),
        tail=(0, -0.42, -0.18),
    )


def _four(leg: float) -> Skeleton:
    low = -0.18 - 0.50 * leg
    bend = -0.18 - 0.26 * leg
    return Skeleton(
        pelvis=(0, -0.12, -0.34),
        chest=(0, -0.10, 0.20),
        head=(0, 0.26, 0.46),
        arms=_pair(Limb((0.15, -0.16, 0.22), (0.16, bend, 0.24), (0.16, low, 0.26))),
        legs=_pair(Limb((0.15, -0.16, -0.34), (0.17, bend, -0.30), (0.16, low, -0.38))),
        tail=(0, -0.02, -0.52),
        four=True,
    )


def _sitting(leg: float) -> Skeleton:
    del leg
    return Skeleton(
        pelvis=(0, -0.44, -0.12),
        chest=(0, -0.08, 0.02),
        head=(0, 0.38, 0.10),
        arms=_pair(Limb((0.15, -0.06, 0.08), (0.16, -0.36, 0.18), (0.13, -0.68, 0.24))),
        legs=_pair(Limb((0.20, -0.52, -0.10), (0.33, -0.46, 0.14), (0.27, -0.70, 0.22))),
        tail=(0, -0.62, -0.32),
    )


def _squat(leg: float) -> Skeleton:
    del leg
    return Skeleton(
        pelvis=(0, -0.34, -0.30),
        chest=(0, -0.14, 0.06),
        head=(0, 0.02, 0.36),
        arms=_pair(Limb((0.20, -0.16, 0.16), (0.40, -0.34, 0.22), (0.30, -0.60, 0.34))),
        legs=_pair(Limb((0.16, -0.40, -0.32), (0.50, -0.20, 0.00), (0.44, -0.58, -0.22))),
        tail=(0, -0.34, -0.5),
        four=True,
    )


_STANCES = {"upright": _upright, "four": _four, "sitting": _sitting, "squat": _squat}


def _arms(s: Skeleton, left: tuple[Triple, Triple], right: tuple[Triple, Triple]) -> Skeleton:
    """Bend and end of each arm; the roots stay."""
    return replace(s, arms=(Limb(s.arms[0].root, *left), Limb(s.arms[1].root, *right)))


def _seated(s: Skeleton) -> Skeleton:
    """On a seat, thighs forward, hands forward."""
    legs = _pair(Limb((0.12, -0.42, 0.02), (0.17, -0.44, 0.30), (0.17, -0.66, 0.42)))
    return replace(
        _arms(s, ((0.30, -0.10, 0.20), (0.20, -0.06, 0.42)), ((-0.30, -0.10, 0.20), (-0.20, -0.06, 0.42))),
        legs=legs,
    )


def _dancing(s: Skeleton) -> Skeleton:
    """Arms rounded above the head, on one leg, the other's foot at its knee."""
    low = s.legs[0].end[1]
    legs = (
        Limb((0.12, -0.42, 0), (0.42, -0.44, 0.08), (0.14, (low - 0.42) / 2 + 0.02, 0.08)),
        Limb((-0.10, -0.42, 0), (-0.06, -0.60, 0.02), (-0.04, low, 0.02)),
    )
    up = _arms(s, ((0.56, 0.26, 0.04), (0.34, 0.80, 0.08)), ((-0.56, 0.26, 0.04), (-0.34, 0.80, 0.08)))
    return replace(up, legs=legs, head_turn=(0, 0, 8))


def _skiing(s: Skeleton) -> Skeleton:
    low = s.legs[0].end[1]
    legs = _pair(Limb((0.13, -0.42, -0.02), (0.17, low / 2 - 0.2, 0.14), (0.16, low, 0.0)))
    out = _arms(s, ((0.40, -0.14, 0.08), (0.46, -0.12, 0.30)), ((-0.40, -0.14, 0.08), (-0.46, -0.12, 0.30)))
    return replace(out, legs=legs, chest=(0, -0.04, 0.06), head=(0, 0.38, 0.12))


def _casting(s: Skeleton) -> Skeleton:
    """The right arm points a wand forward and up, the left is thrown aside."""
    return _arms(s, ((0.42, 0.02, 0.10), (0.58, 0.20, 0.18)), ((-0.36, 0.00, 0.18), (-0.40, 0.22, 0.40)))


def _waving(s: Skeleton) -> Skeleton:
    return _arms(s, ((0.40, 0.06, 0.04), (0.52, 0.36, 0.08)), tuple(s.arms[1][1:]))  # type: ignore[arg-type]


def _hugging(s: Skeleton) -> Skeleton:
    """Both hands round something big in front."""
    return _arms(s, ((0.38, -0.06, 0.18), (0.20, -0.10, 0.40)), ((-0.38, -0.14, 0.18), (-0.16, 0.06, 0.42)))


def _fiddling(s: Skeleton) -> Skeleton:
    """A violin under the chin: the left hand at its neck, the right one bows."""
    return replace(
        _arms(s, ((0.40, -0.02, 0.24), (0.44, 0.14, 0.52)), ((-0.38, -0.02, 0.16), (-0.14, 0.12, 0.44))),
        head_turn=(6, 22, -8),
    )


def _carrying(s: Skeleton) -> Skeleton:
    """Something long in both hands, across the body."""
    return _arms(s, ((0.36, -0.08, 0.16), (0.24, 0.02, 0.34)), ((-0.36, -0.16, 0.14), (-0.26, -0.24, 0.32)))


def _holding(s: Skeleton) -> Skeleton:
    """Something small in the left hand, held up in front."""
    return _arms(s, ((0.38, -0.14, 0.14), (0.34, 0.00, 0.38)), tuple(s.arms[1][1:]))  # type: ignore[arg-type]


def _rowing(s: Skeleton) -> Skeleton:
    seated = _seated(s)
    return _arms(
        seated, ((0.36, -0.10, 0.16), (0.30, -0.08, 0.40)), ((-0.36, -0.10, 0.16), (-0.30, -0.08, 0.40))
    )


POSES = {
    "dancing": _dancing,
    "skiing": _skiing,
    "casting": _casting,
    "waving": _waving,
    "hugging": _hugging,
    "fiddling": _fiddling,
    "carrying": _carrying,
    "holding": _holding,
    "rowing": _rowing,
    "seated": _seated,
}
"""Pose => an upright skeleton bent into it."""


def skeleton_of(species: Species, pose: str) -> Skeleton:
    """A stance (four, upright, sitting, squat) or a pose of POSES, in the species' proportions."""
    if pose in _STANCES:
        return _STANCES[pose](species.leg)
    return POSES[pose](_upright(species.leg))


def skin(species: Species, color: Triple) -> Material:
    """The species' skin in a colour."""
    if species.skin == "fur":
        return fur(color)
    if species.skin == "wet":
        return plain(color, 0.45)
    if species.skin == "scales":
        return Material(color, scaled(color, 0.62), "scales", 0.10, 0.1, gloss=0.15)
    return plain(color, 0.10)


@dataclass(frozen=True)
class Body:
    """A finished creature's places, for what it wears and holds; the rig's units."""

    species: Species
    skeleton: Skeleton
    group: int
    head: Frame
    """Its unit is the head's radius."""
    torso: Frame
    """From the pelvis along y to the chest, +z in front; its unit is the torso's radius."""
    length: float
    """From pelvis to chest, in the torso's units."""

    def hand(self, side: int) -> Floats:
        """0: the left one, 1: the right one."""
        return np.asarray(self.skeleton.arms[side].end, np.float32)


def torso_frame(species: Species, bones: Skeleton) -> Frame:
    """Where garments are put on."""
    pelvis, chest = np.asarray(bones.pelvis, np.float32), np.asarray(bones.chest, np.float32)
    y = (chest - pelvis) / np.linalg.norm(chest - pelvis)
    back = np.array([0, 0, 1.0]) if not bones.four else np.array([0, -1.0, 0])
    return Frame(pelvis, axes_along(y.astype(np.float64), back), 0.22 * species.fat)


def body(s: Sculpture, species: Species, bones: Skeleton) -> Body:
    """Torso, limbs and neck; the head is put on by heads.py, the tail by tails.py."""
    coat = skin(species, species.coat)
    limb = skin(species, species.limb) if species.limb else coat
    sock = skin(species, species.sock) if species.sock else limb
    fat, thick = 0.22 * species.fat, species.thick
    pelvis, chest = np.asarray(bones.pelvis), np.asarray(bones.chest)
    torso = torso_frame(species, bones)
    length = float(np.linalg.norm(chest - pelvis)) / torso.scale
    with s.group(0.07) as group:
        s.limb(pelvis, chest, fat * 1.05, coat, fat * (0.95 if bones.four else 0.84))
        neck = (chest + np.asarray(bones.head)) / 2
        s.limb(chest, neck, fat * 0.62, coat, species.head * 0.55)
        for arm in bones.arms:
            hand = limb if "flippers" in species.markings else sock
            _leg(s, arm, (0.098, 0.080, 0.078), thick, limb, hand, on_ground=bones.four)
        for leg in bones.legs:
            _leg(s, leg, (0.125, 0.095, 0.085), thick, limb, sock, on_ground=True)
        if species.belly:
            with s.painting(0.03), s.frame(torso):
                s.ellipsoid(
                    (0, length * 0.5, 0.95), (0.72, length * 0.5 + 0.85, 0.75), skin(species, species.belly)
                )
        _body_markings(s, species, torso, length)
    head = Frame.at(bones.head, bones.head_turn, species.head)
    return Body(species, bones, group, head, torso, length)


def _leg(
    s: Sculpture, limb: Limb, radii: Triple, thick: float, m: Material, sock: Material, *, on_ground: bool
) -> None:
    a, b, c = (r * thick for r in radii)
    s.limb(limb.root, limb.bend, a, m, b)
    end = np.asarray(limb.end, np.float32)
    s.limb(limb.bend, end, b, m, c)
    if on_ground:  # a foot points forward
        s.ellipsoid(end + np.array([0, -0.01, 0.06 * thick]), (c * 1.12, c * 0.82, c * 1.6), sock)
    else:
        s.ball(end, c * 1.12, sock)


def _body_markings(s: Sculpture, species: Species, torso: Frame, length: float) -> None:
    dark = skin(species, species.dark)
    with s.painting(0.02), s.frame(torso):
        if "shoulders" in species.markings:
            s.ellipsoid((0, length + 0.12, 0), (2.0, 0.42, 2.0), dark)
        if "collar" in species.markings:
            s.ellipsoid((0, length + 0.55, 0), (1.6, 0.40, 1.6), skin(species, species.belly or species.coat))
        if "patches" in species.markings:
            for x, y, z in (
                (0.9, 0.2, -0.4),
                (-0.8, length, -0.5),
                (-0.9, -0.4, 0.3),
                (0.8, length + 0.3, 0.3),
            ):
                s.ellipsoid((x, y, z), (0.55, 0.62, 0.60), dark)
        if "blots" in species.markings:
            spots = (
                (0.5, 0.3, -0.8),
                (-0.4, 0.7, -0.9),
                (0.1, 1.4, -0.95),
                (-0.6, -0.2, -0.7),
                (0.75, 1.2, -0.5),
                (-0.75, 1.5, -0.5),
            )
            for x, y, z in spots:
                s.ball((x, y, z), 0.27, dark)
        if "blue sides" in species.markings:
            side = plain((0.12, 0.30, 0.78), 0.4)
            for x in (-1.05, 1.05):
                s.ellipsoid((x, 0.5, 0.15), (0.35, 0.9, 0.30), side)
        if "tabby" in species.markings:
            stripe = skin(species, scaled(species.coat, 0.62))
            for y in (-0.3, 0.25, 0.8, 1.3):
                s.box((0, y, -0.8), (1.5, 0.10, 0.75), stripe)
