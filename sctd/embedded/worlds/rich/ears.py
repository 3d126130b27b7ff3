"""Ears and what grows in their place, in a frame whose unit is the head's radius."""

from __future__ import annotations

from collections.abc import Callable

from sctd.embedded.worlds.rich.materials import Triple, plain, scaled
from sctd.embedded.worlds.rich.rig import skin
from sctd.embedded.worlds.rich.sculpture import Sculpture
from sctd.embedded.worlds.rich.species import Species

SIDES = (1, -1)

# Ears: (sculpture, species, the body's group).


def _flat_ears(
    x: float, y: float, z: float, shape: Triple, turn: Triple = (0, 0, 0)
) -> Callable[[Sculpture, Species, int], None]:
    """Ellipsoids at these places with lighter insides; ``shape`` in units of the ear's size."""

    def ears(s: Sculpture, species: Species, group: int) -> None:
        del group
        size = species.ear_size
        outer = skin(species, species.ear or species.coat)
        for side in SIDES:
            t = (turn[0], turn[1] * side, turn[2] * side)
            with s.group(0.05):
                r = (shape[0] * size, shape[1] * size, shape[2] * size)
                s.ellipsoid((x * side, y, z), r, outer, t)
                with s.painting(0.03):
                    front = z + r[2] * 1.6
                    s.ellipsoid(
                        (x * side, y - 0.02, front),
                        (r[0] * 0.66, r[1] * 0.72, r[2] * 1.5),
                        skin(species, species.inner),
                        t,
                    )

    return ears


def _pointed(lean: float, base: float, low: float) -> Callable[[Sculpture, Species, int], None]:
    """Triangles on the skull; ``lean``: how far the tips stand outwards, in units of the ear's size."""

    def ears(s: Sculpture, species: Species, group: int) -> None:
        del group
        size, fx = species.ear_size, species.face[0]
        outer = skin(species, species.ear or species.coat)
        inner = skin(species, species.inner)
        for side in SIDES:
            a = (side * 0.22 * fx, low + 0.26, 0.02)
            b = (side * (0.22 * fx + base * size), low - 0.12, -0.05)
            tip = (side * (0.30 * fx + (base * 0.5 + lean) * size), low + 0.18 + 1.02 * size, -0.02)
            with s.group(0.04):
                s.triangle(a, b, tip, outer, 0.085)
                mid = [sum(c) / 3 for c in zip(a, b, tip, strict=True)]
                inside = [
                    tuple(m + 0.62 * (c - m) for c, m in zip(corner, mid, strict=True))
                    for corner in (a, b, tip)
                ]
                lifted = [(c[0], c[1] - 0.02, c[2] + 0.075) for c in inside]
                s.triangle(lifted[0], lifted[1], lifted[2], inner, 0.045)

    return ears


def _folded(s: Sculpture, species: Species, group: int) -> None:
    del group
    size = species.ear_size
    outer, inner = skin(species, species.ear or species.coat), skin(species, species.inner)
    for side in SIDES:
        a, b = (side * 0.42, 0.86, 0.06), (side * 0.92, 0.46, -0.02)
        tip = (side * (0.72 + 0.95 * size), 0.66 + 0.28 * size, 0.36)
        with s.group(0.04):
            s.triangle(a, b, tip, outer, 0.075)
            s.triangle(
                (a[0] * 1.2, a[1] - 0.06, a[2] + 0.07),
                (b[0] * 0.97, b[1] + 0.05, b[2] + 0.07),
                (tip[0] * 0.93, tip[1], tip[2] + 0.02),
                inner,
                0.05,
            )


def _tufted(s: Sculpture, species: Species, group: int) -> None:
    _pointed(0.10, 0.75, 0.70)(s, species, group)
    dark = skin(species, scaled(species.coat, 0.6))
    for side in SIDES:
        x = side * (0.30 * species.face[0] + 0.47 * species.ear_size)
        y = 0.88 + species.ear_size
        s.limb((x, y - 0.1, -0.02), (x * 1.05, y + 0.22, -0.04), 0.06, dark, 0.015)


def _horned(s: Sculpture, species: Species, group: int) -> None:
    del group
    horn, fin = plain((0.93, 0.86, 0.66), 0.2), plain(species.inner, 0.1)
    for side in SIDES:
        s.tube(
            [(side * 0.34, 0.72, -0.1), (side * 0.46, 1.06, -0.28), (side * 0.44, 1.34, -0.55)],
            [0.14, 0.10, 0.03],
            horn,
        )
        s.triangle(
            (side * 0.85, 0.36, -0.05), (side * 0.85, -0.10, -0.05), (side * 1.42, 0.44, -0.30), fin, 0.05
        )


def _none(s: Sculpture, species: Species, group: int) -> None:
    del s, species, group


EARS: dict[str, Callable[[Sculpture, Species, int], None]] = {
    "round": _flat_ears(0.70, 0.74, -0.08, (1, 1, 0.48), (0, 12, -20)),
    "dish": _flat_ears(0.86, 0.74, -0.12, (1, 1, 0.22), (0, 14, -15)),
    "long": _flat_ears(0.34, 1.28, -0.10, (0.25, 0.72, 0.15), (-6, 0, -9)),
    "side": _flat_ears(1.02, 0.06, -0.02, (0.72, 1, 0.42), (0, 28, 0)),
    "fan": _flat_ears(1.34, 0.02, -0.22, (0.72, 0.92, 0.10), (0, 24, 8)),
    "point": _pointed(0.12, 0.95, 0.66),
    "fold": _folded,
    "tuft": _tufted,
    "horns": _horned,
    "none": _none,
}
