"""Tails, spikes and wings."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from sctd.embedded.worlds.rich.materials import Material, fur, plain, scaled
from sctd.embedded.worlds.rich.rig import Body, skin
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)


def tail(s: Sculpture, b: Body) -> None:
    """The species' tail at the body's root, and its spikes and wings."""
    coat = skin(b.species, b.species.coat)
    with s.frame(Frame.at(b.skeleton.tail)):
        TAILS[b.species.tail](s, b, coat)
    if "spikes" in b.species.markings:
        _spikes(s, b)
    if "wings" in b.species.markings:
        _wings(s, b)


def _none(s: Sculpture, b: Body, coat: Material) -> None:
    del s, b, coat


def _stub(s: Sculpture, b: Body, coat: Material) -> None:
    with s.group(0.05, b.group):
        s.ball((0, 0.02, -0.02), 0.09, coat)


def _puff(s: Sculpture, b: Body, coat: Material) -> None:
    del b, coat
    s.ball((0, 0.04, -0.06), 0.13, fur((0.95, 0.94, 0.92)))


def _long(s: Sculpture, b: Body, coat: Material) -> None:
    if b.skeleton.four:
        points = [(0, 0, 0), (0.02, 0.10, -0.22), (0.04, 0.34, -0.34), (0.03, 0.58, -0.28)]
    else:
        points = [
            (0, 0, 0),
            (0.12, -0.02, -0.20),
            (0.34, 0.02, -0.18),
            (0.46, 0.22, -0.06),
            (0.42, 0.44, -0.02),
        ]
    with s.group(0.05, b.group):
        s.tube(points, 0.062, coat)


def _thin(s: Sculpture, b: Body, coat: Material) -> None:
    skin_ = coat if b.species.skin == "smooth" else plain(b.species.inner)
    long = 0.55 if b.species.skin == "smooth" else 1.0
    points = [(0, 0, 0), (0.06, -0.06, -0.24), (0.22, 0.02, -0.42), (0.40, 0.20, -0.44), (0.46, 0.42, -0.36)]
    s.tube([tuple(long * x for x in p) for p in points], [0.04, 0.034, 0.028, 0.022, 0.012], skin_)


def _tuft(s: Sculpture, b: Body, coat: Material) -> None:
    points = [(0, 0, 0), (0.06, -0.02, -0.16), (0.14, -0.24, -0.22), (0.20, -0.30, -0.24)]
    s.tube(points, 0.036, coat)
    s.ellipsoid(points[-1], (0.07, 0.12, 0.07), fur(b.species.dark))


def _curl(s: Sculpture, b: Body, coat: Material) -> None:
    del b
    s.torus((0, 0.06, -0.05), 0.075, 0.026, coat, (0, 0, 78))
    s.limb((0, 0.0, 0.02), (0.02, 0.13, -0.06), 0.028, coat)


def _ringed(s: Sculpture, b: Body, coat: Material) -> None:
    rings = skin(b.species, scaled(b.species.coat, 1.5)), skin(b.species, scaled(b.species.coat, 0.42))
    if b.skeleton.four:
        path = [(0.0, 0.02 + 0.16 * t * t, -0.72 * t) for t in np.linspace(0, 1, 9)]
    else:
        path = [
            (0.55 * math.sin(1.5 * t), 0.05 + 0.62 * t * t, -0.10 - 0.42 * math.sin(1.6 * t))
            for t in np.linspace(0, 1, 9)
        ]
    with s.group(0.02):
        for i, (a, c) in enumerate(pairwise(path)):
            s.limb(a, c, 0.125 - 0.004 * i, coat if i == 0 else rings[i % 2], 0.125 - 0.004 * (i + 1))


def _plume(s: Sculpture, b: Body, coat: Material) -> None:
    light = skin(b.species, scaled(b.species.coat, 1.25))
    rise = 0.10 if b.skeleton.four else 0.0
    path = [
        (0, 0, 0),
        (0, -0.04, -0.24),
        (0, 0.20, -0.42),
        (0, 0.52, -0.42),
        (0, 0.80 + rise, -0.40),
        (0, 0.96 + rise, -0.60),
    ]
    with s.group(0.08):
        s.tube(path, [0.10, 0.15, 0.20, 0.21, 0.20, 0.11], light)
        with s.painting(0.04):
            s.box((0, 0.4, -0.62), (0.07, 0.9, 0.2), coat)


def _brush(s: Sculpture, b: Body, coat: Material) -> None:
    if b.skeleton.four:
        path = [(0.0, 0.0, 0.0), (0.0, -0.02, -0.24), (0, 0.04, -0.48), (0, 0.16, -0.70)]
    else:
        path = [(0, 0, 0), (0.18, -0.06, -0.22), (0.42, 0.02, -0.22), (0.56, 0.22, -0.14)]
    with s.group(0.05):
        s.tube(path, [0.07, 0.14, 0.15, 0.09], coat)
        s.limb(
            path[-1],
            [p + 0.35 * (p - q) for p, q in zip(path[-1], path[-2], strict=True)],
            0.105,
            fur((0.95, 0.94, 0.92)),
            0.03,
        )


def _fluff(s: Sculpture, b: Body, coat: Material) -> None:
    light = skin(b.species, scaled(b.species.coat, 1.25))
    with s.group(0.08, b.group):
        s.ball((0, 0.12, 0.02), 0.17, light)
        s.ball((0, 0.22, 0.16), 0.15, light)
        s.ball((0, 0.0, -0.02), 0.13, coat)


def _dragon(s: Sculpture, b: Body, coat: Material) -> None:
    path = [(0, 0, 0.1), (0.10, -0.06, -0.16), (0.36, -0.08, -0.26), (0.58, -0.04, -0.10), (0.64, 0.10, 0.06)]
    with s.group(0.06, b.group):
        s.tube(path, [0.16, 0.13, 0.09, 0.06, 0.035], coat)
    fin = plain(b.species.inner, 0.1)
    s.triangle((0.56, 0.10, 0.06), (0.72, 0.10, 0.06), (0.65, 0.32, 0.12), fin, 0.025)


TAILS: dict[str, Callable[[Sculpture, Body, Material], None]] = {
    "none": _none,
    "stub": _stub,
    "puff": _puff,
    "long": _long,
    "thin": _thin,
    "tuft": _tuft,
    "curl": _curl,
    "ringed": _ringed,
    "plume": _plume,
    "brush": _brush,
    "fluff": _fluff,
    "dragon": _dragon,
}


def _spikes(s: Sculpture, b: Body) -> None:
    fin = plain(b.species.inner, 0.1)
    with s.frame(b.torso):
        for y, size in ((-0.5, 0.34), (0.2, 0.42), (0.9, 0.44), (1.6, 0.38)):
            s.triangle((0, y - 0.26, -0.8), (0, y + 0.26, -0.8), (0, y + 0.1, -1.02 - size), fin, 0.06)
    with s.frame(b.head):
        for y, z, size in ((0.95, -0.15, 0.30), (0.55, -0.80, 0.34), (0.0, -0.98, 0.30)):
            s.triangle(
                (0, y - 0.16, z), (0, y + 0.16, z + 0.10), (0, y + 0.10 + size * 0.4, z - size), fin, 0.05
            )


def _wings(s: Sculpture, b: Body) -> None:
    bone, web = skin(b.species, scaled(b.species.coat, 0.75)), plain(b.species.inner, 0.1)
    with s.frame(b.torso):
        high = b.length * 0.9
        for side in SIDES:
            root, top, end = (
                (side * 0.5, high, -0.8),
                (side * 1.7, high + 1.4, -1.5),
                (side * 3.0, high + 0.5, -1.5),
            )
            mid, low = (side * 2.2, high - 0.2, -1.4), (side * 1.2, high - 0.5, -1.2)
            s.tube([root, top, end], [0.14, 0.11, 0.05], bone)
            for tip in (mid, low):
                s.limb(top, tip, 0.07, bone, 0.03)
            s.triangle(top, end, mid, web, 0.03)
            s.triangle(top, mid, low, web, 0.03)
            s.triangle(top, low, root, web, 0.03)
