"""Heads of creatures, in a frame whose unit is the head's radius: skull, snout, ears, eyes, markings."""

from __future__ import annotations

import math
from collections.abc import Callable

from sctd.embedded.worlds.rich.ears import EARS, SIDES
from sctd.embedded.worlds.rich.materials import EYE, LIGHT, Material, Triple, fur, plain, scaled
from sctd.embedded.worlds.rich.rig import Body, skin
from sctd.embedded.worlds.rich.sculpture import Sculpture
from sctd.embedded.worlds.rich.species import Species

WHITE = (0.95, 0.94, 0.92)


def head(s: Sculpture, b: Body) -> None:
    """The whole head of a body."""
    species = b.species
    coat = skin(species, species.coat)
    muzzle = skin(species, species.muzzle) if species.muzzle else coat
    with s.frame(b.head):
        with s.group(0.22, b.group):
            s.ellipsoid((0, 0, 0), species.face, coat)
            if species.snout[2] > 0 and "frog" not in species.markings and "beak" not in species.markings:
                _snout(s, species, muzzle)
        EARS[species.ears](s, species, b.group)
        _eyes(s, species)
        for marking in species.markings:
            if marking in MARKINGS:
                MARKINGS[marking](s, species, b.group)


def on_face(species: Species, x: float, y: float) -> float:
    """z of the skull's surface there."""
    fx, fy, fz = species.face
    return fz * math.sqrt(max(0.02, 1 - (x / fx) ** 2 - (y / fy) ** 2))


def eye_points(species: Species) -> list[Triple]:
    """The middles of the eyes, left then right."""
    x, y = species.eye_at
    if "frog" in species.markings:
        return [(side * 0.62, 0.50, 0.36) for side in SIDES]
    return [(side * x, y, on_face(species, x, y) - 0.25 * species.eye) for side in SIDES]


def _eyes(s: Sculpture, species: Species) -> None:
    r = species.eye
    for x, y, z in eye_points(species):
        side = 1 if x > 0 else -1
        out = 0.55 * side if "frog" in species.markings else 0.22 * side
        if species.iris is None:
            s.ball((x, y, z), r, EYE)
        else:
            with s.group():
                s.ball((x, y, z), r, Material(species.iris, gloss=0.5, exponent=70))
                with s.painting(0.01):
                    narrow = 0.34 if "frog" in species.markings else 0.55
                    s.ellipsoid((x + out * r, y, z + 0.9 * r), (narrow * r, 0.62 * r, 0.5 * r), EYE)
        s.ball((x + 0.25 * r, y + 0.42 * r, z + 0.82 * r), 0.22 * r, LIGHT)


def _snout(s: Sculpture, species: Species, muzzle: Material) -> None:
    w, h, out = species.snout
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop)
    s.limb((0, y, z - 0.35), (0, y - 0.02, z + out - h * 0.8), max(w, h) * 1.05, muzzle, (w + h) / 2 * 0.82)
    s.ellipsoid((0, y - 0.02, z + out * 0.45), (w, h, out * 0.55), muzzle)
    tip = z + out * 0.98
    if species.nose_size > 0:
        n = species.nose_size
        with s.group():
            s.ellipsoid((0, y + h * 0.42, tip - 0.02), (n * 1.15, n * 0.8, n * 0.7), plain(species.nose, 0.4))
        with s.painting(0.012):
            line = plain(scaled(species.dark, 1.0), 0.0)
            s.torus((0, y - h * 0.18, tip - 0.10), w * 0.42, 0.045, line, (60, 0, 0), arc=190)


# Markings of the head: (sculpture, species, the body's group).


def _panda_eyes(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.04):
        for side in SIDES:
            s.ellipsoid(
                (side * 0.39, 0.10, 0.85), (0.22, 0.31, 0.5), skin(species, species.dark), (0, 0, -32 * side)
            )


def _mask(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.04):
        for side in SIDES:
            s.ellipsoid(
                (side * 0.52, 0.06, 0.75), (0.50, 0.25, 0.62), skin(species, species.dark), (0, 0, -18 * side)
            )
            s.ellipsoid((side * 0.80, -0.34, 0.45), (0.34, 0.16, 0.4), fur(WHITE), (0, 0, -24 * side))
        s.box((0, 0.30, 0.9), (0.10, 0.60, 0.5), skin(species, scaled(species.dark, 2.2)), rounding=0.08)


def _brows(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.04):
        for side in SIDES:
            s.ellipsoid((side * 0.50, 0.44, 0.70), (0.36, 0.11, 0.5), fur(WHITE), (0, 0, 12 * side))


def _tears(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.035):
        for side in SIDES:
            s.ellipsoid(
                (side * 0.48, -0.18, 0.8), (0.13, 0.42, 0.5), skin(species, species.dark), (0, 0, 14 * side)
            )


def _cheeks(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.06):
        for side in SIDES:
            s.ellipsoid((side * 0.72, -0.36, 0.50), (0.40, 0.34, 0.52), fur(WHITE))


def _blaze(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.04):
        s.ellipsoid((0, 0.30, 0.85), (0.15, 0.75, 0.5), fur(WHITE))


def _tabby(s: Sculpture, species: Species, group: int) -> None:
    stripe = skin(species, scaled(species.coat, 0.60))
    with s.group(0, group), s.painting(0.03):
        for x in (-0.22, 0, 0.22):
            s.ellipsoid((x, 0.66, 0.55), (0.055, 0.26, 0.5), stripe)
        for side in SIDES:
            for y in (-0.05, -0.30):
                s.ellipsoid((side * 0.95, y, 0.25), (0.3, 0.055, 0.4), stripe)


def _whiskers(s: Sculpture, species: Species, group: int) -> None:
    del group
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop) + species.snout[2] * 0.5
    for side in SIDES:
        for rise in (-0.12, 0.02, 0.16):
            s.limb(
                (side * 0.28, y + rise * 0.4, z), (side * 0.95, y + rise * 1.6, z - 0.12), 0.018, LIGHT, 0.008
            )


def _teeth(s: Sculpture, species: Species, group: int) -> None:
    del group
    y, z = (
        species.snout_drop - species.snout[1],
        on_face(species, 0, species.snout_drop) + species.snout[2] * 0.62,
    )
    s.box((0, y + 0.02, z), (0.10, 0.11, 0.03), LIGHT, (14, 0, 0), 0.02)


def _mane(s: Sculpture, species: Species, group: int) -> None:
    """A chow chow's ruff behind a bare, folded face, and its blue tongue."""
    ruff = skin(species, scaled(species.coat, 1.12))
    with s.group(0.20, group):
        for i in range(13):
            angle = 2 * math.pi * i / 13
            s.ball((1.10 * math.sin(angle), -0.14 + 1.0 * math.cos(angle), -0.52), 0.40, ruff)
        s.ball((0, -1.05, 0.05), 0.55, ruff)
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop)
    with s.group(0.10, group):
        for side in SIDES:  # heavy brows and lips
            s.limb((side * 0.16, 0.36, 0.84), (side * 0.56, 0.30, 0.70), 0.13, skin(species, species.coat))
            s.ball((side * 0.20, y - 0.14, z + 0.26), 0.23, skin(species, species.muzzle or species.coat))
    s.ellipsoid((0, y - 0.34, z + 0.36), (0.15, 0.055, 0.20), plain((0.20, 0.20, 0.40), 0.3), (34, 0, 0))


def _lion_mane(s: Sculpture, species: Species, group: int) -> None:
    del group
    with s.group(0.10):
        for i in range(12):
            angle = 2 * math.pi * i / 12
            s.ellipsoid(
                (1.06 * math.sin(angle), -0.02 + 1.02 * math.cos(angle), -0.22),
                (0.40, 0.40, 0.50),
                fur(species.dark),
            )


def _monkey_face(s: Sculpture, species: Species, group: int) -> None:
    face = skin(species, species.muzzle or species.coat)
    with s.group(0.10, group):
        s.limb((-0.42, 0.36, 0.66), (0.42, 0.36, 0.66), 0.16, skin(species, species.coat))
        with s.painting(0.04):
            for side in SIDES:
                s.ellipsoid((side * 0.33, 0.12, 0.85), (0.36, 0.28, 0.5), face)
            s.ellipsoid((0, -0.42, 0.9), (0.62, 0.44, 0.75), face)
        with s.painting(0.012):
            dark = plain((0.24, 0.13, 0.10), 0)
            for side in SIDES:
                s.ball((side * 0.09, -0.16, on_face(species, 0, -0.3) + 0.36), 0.055, dark)
            s.ellipsoid((0, -0.50, 1.2), (0.36, 0.028, 0.5), dark)


def _disc(s: Sculpture, species: Species, group: int) -> None:
    del group
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop) + species.snout[2]
    with s.group():
        s.frustum((0, y, z), 0.33, 0.31, 0.07, plain(species.nose, 0.15), (90, 0, 0), 0.04)
        with s.painting(0.01):
            for side in SIDES:
                s.ellipsoid(
                    (side * 0.12, y, z + 0.08), (0.065, 0.10, 0.1), plain(scaled(species.nose, 0.45), 0)
                )


def _trunk(s: Sculpture, species: Species, group: int) -> None:
    skin_ = skin(species, species.coat)
    with s.group(0.12, group):
        points = [(0, -0.10, 0.75), (0, -0.42, 1.14), (0, -0.95, 1.32), (0, -1.45, 1.34), (0, -1.72, 1.56)]
        s.tube(points, [0.44, 0.34, 0.25, 0.20, 0.16], skin_)
    for side in SIDES:
        s.tube(
            [(side * 0.36, -0.46, 0.80), (side * 0.46, -0.78, 1.16), (side * 0.44, -0.72, 1.52)],
            [0.11, 0.09, 0.03],
            plain((0.96, 0.93, 0.82), 0.3),
        )


def _beak(s: Sculpture, species: Species, group: int) -> None:
    del group
    w, h, out = species.snout
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop)
    horn = plain(species.nose, 0.25)
    s.limb((0, y, z - 0.1), (0, y - 0.06, z + out), max(w, h) * 1.15, horn, 0.03)


def _bill(s: Sculpture, species: Species, group: int) -> None:
    del group
    w, h, out = species.snout
    y, z = species.snout_drop, on_face(species, 0, species.snout_drop)
    horn = plain(species.nose, 0.25)
    with s.group(0.05):
        s.ellipsoid((0, y + 0.03, z + out * 0.30), (w, h, out * 0.75), horn, (-8, 0, 0))
        s.ellipsoid(
            (0, y - 0.12, z + out * 0.22),
            (w * 0.85, h * 0.7, out * 0.6),
            plain(scaled(species.nose, 0.8), 0.25),
            (4, 0, 0),
        )


def _penguin_face(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.03):
        for side in SIDES:
            s.ellipsoid(
                (side * 0.46, -0.04, 0.8), (0.42, 0.46, 0.55), skin(species, species.muzzle or species.coat)
            )
        s.ellipsoid((0, -0.55, 0.8), (0.55, 0.45, 0.55), skin(species, species.muzzle or species.coat))


def _owl_face(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.03):
        for side in SIDES:
            s.ellipsoid(
                (side * 0.40, 0.08, 0.85), (0.46, 0.50, 0.5), skin(species, species.muzzle or species.coat)
            )


def _frog(s: Sculpture, species: Species, group: int) -> None:
    coat = skin(species, species.coat)
    with s.group(0.16, group):
        s.ellipsoid((0, -0.05, 0.15), (1.12, 0.62, 0.98), coat)
        for x, y, z in eye_points(species):
            s.ball((x * 0.98, y - 0.06, z - 0.08), species.eye * 1.12, coat)
        with s.painting(0.03):
            s.ellipsoid((0, -0.62, 0.5), (0.95, 0.42, 0.95), skin(species, species.belly or species.coat))
        with s.painting(0.012):
            s.ellipsoid((0, -0.16, 0.75), (1.3, 0.03, 0.75), plain(scaled(species.coat, 0.32), 0))
            if "blots" in species.markings:
                for x, z in ((0, 0.35), (0.4, 0.85), (-0.42, 0.8), (0.5, -0.1), (-0.5, -0.15)):
                    s.ball((x, 0.58, z), 0.17, skin(species, species.dark))


def _horns(s: Sculpture, species: Species, group: int) -> None:
    del species, group
    for side in SIDES:
        s.tube(
            [(side * 0.40, 0.82, 0), (side * 0.72, 1.00, 0), (side * 0.80, 1.30, 0.06)],
            [0.13, 0.10, 0.03],
            plain((0.90, 0.84, 0.70), 0.2),
        )


def _patches(s: Sculpture, species: Species, group: int) -> None:
    with s.group(0, group), s.painting(0.03):
        for side in SIDES:
            s.ellipsoid((side * 0.62, 0.24, 0.5), (0.38, 0.46, 0.6), skin(species, species.dark))


def _nostrils(s: Sculpture, species: Species, group: int) -> None:
    y, z = (
        species.snout_drop + species.snout[1] * 0.5,
        on_face(species, 0, species.snout_drop) + species.snout[2] * 0.85,
    )
    with s.group(0.06, group):
        for side in SIDES:
            s.ball((side * 0.17, y, z), 0.12, skin(species, species.coat))
            with s.painting(0.01):
                s.ball((side * 0.20, y + 0.02, z + 0.11), 0.06, plain(scaled(species.coat, 0.2), 0))


MARKINGS: dict[str, Callable[[Sculpture, Species, int], None]] = {
    "panda eyes": _panda_eyes,
    "mask": _mask,
    "brows": _brows,
    "tears": _tears,
    "cheeks": _cheeks,
    "blaze": _blaze,
    "tabby": _tabby,
    "whiskers": _whiskers,
    "teeth": _teeth,
    "mane": _mane,
    "lion mane": _lion_mane,
    "monkey face": _monkey_face,
    "disc": _disc,
    "trunk": _trunk,
    "beak": _beak,
    "bill": _bill,
    "penguin face": _penguin_face,
    "owl face": _owl_face,
    "frog": _frog,
    "horns": _horns,
    "patches": _patches,
    "nostrils": _nostrils,
}
