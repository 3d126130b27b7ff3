"""What is worn on the head: hats, hair, glasses, headphones. The unit of the head's frame is its radius."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sctd.embedded.worlds.rich.heads import eye_points, on_face
from sctd.embedded.worlds.rich.materials import (
    COLORS,
    DARK,
    GOLD,
    LIGHT,
    STEEL,
    Material,
    Triple,
    fur,
    plain,
    scaled,
)
from sctd.embedded.worlds.rich.rig import Body
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

SIDES = (1, -1)
Wear = Callable[[Sculpture, Body, Material], None]


def _crown_of_head(b: Body, sink: float = 0.16, tilt: float = -6) -> Frame:
    """On top of the skull, y up."""
    return Frame.at((0, b.species.face[1] - sink, -0.04), (tilt, 0, 0))


def top_hat_shape(s: Sculpture, m: Material) -> None:
    """A top hat whose brim lies at y = 0 and is 0.8 wide."""
    with s.group(0.03):
        s.lathe((0, 0, 0), [(0.02, 0.0), (0.60, 0.0), (0.82, 0.08)], m, 0.03)
        s.frustum((0, 0.44, 0), 0.47, 0.55, 0.44, m, rounding=0.03)
        with s.painting(0.008):
            s.frustum((0, 0.17, 0), 0.60, 0.60, 0.11, plain(COLORS["red"], 0.2))


def top_hat(s: Sculpture, b: Body, m: Material) -> None:
    with s.frame(b.head), s.frame(_crown_of_head(b)):
        top_hat_shape(s, m)


def crown_shape(s: Sculpture, m: Material, arches: bool = True) -> None:
    """A royal crown round the y axis, 0.72 in radius; ``arches``: closed, with orb and cross, velvet cap and
    ermine."""
    ruby, sapphire = plain((0.70, 0.03, 0.08), 0.8), plain((0.06, 0.14, 0.62), 0.8)
    pearl = plain((0.95, 0.93, 0.88), 0.6)
    s.lathe((0, 0.16, 0), [(0.72, -0.10), (0.72, 0.12)], m, 0.035)
    for i in range(8):
        a = math.radians(45 * i)
        x, z = math.sin(a), math.cos(a)
        s.ball((0.76 * x, 0.18, 0.76 * z), 0.075, (ruby, sapphire)[i % 2])
        tip = (0.77 * x, 0.52 if i % 2 == 0 else 0.40, 0.77 * z)
        with s.frame(Frame.at((0, 0, 0), (0, 45 * i, 0))):
            s.triangle((-0.15, 0.26, 0.73), (0.15, 0.26, 0.73), (0, tip[1], 0.76), m, 0.03)
            if i % 2 == 0 and arches:  # crosses
                s.box((0, 0.46, 0.76), (0.13, 0.04, 0.03), m)
        s.ball(tip, 0.06, pearl)
    if not arches:
        return
    s.torus(
        (0, 0.03, 0), 0.72, 0.115, Material((0.95, 0.94, 0.92), (0.12, 0.11, 0.11), "spots", 0.14, gloss=0.0)
    )
    s.ellipsoid(
        (0, 0.30, 0),
        (0.62, 0.50, 0.62),
        Material((0.42, 0.07, 0.34), (0.34, 0.05, 0.27), "fur", 0.04, gloss=0.0, rim=0.1),
    )
    for i in range(4):
        a = math.radians(90 * i)
        arch = [(0.74, 0.42), (0.66, 0.72), (0.42, 0.92), (0.14, 0.86), (0.0, 0.84)]
        points = [(r * math.sin(a), y, r * math.cos(a)) for r, y in arch]
        s.tube(points, [0.055, 0.05, 0.05, 0.05, 0.05], m)
        for x, y, z in points[1:3]:
            s.ball((x * 1.06, y + 0.05, z * 1.06), 0.042, pearl)
    s.ball((0, 0.96, 0), 0.12, m)
    s.box((0, 1.18, 0), (0.035, 0.13, 0.03), m)
    s.box((0, 1.20, 0), (0.10, 0.035, 0.03), m)
    s.ball((0, 1.20, 0.04), 0.04, sapphire)


def crown(s: Sculpture, b: Body, m: Material) -> None:
    with s.frame(b.head), s.frame(_crown_of_head(b, 0.20)), s.frame(Frame.at(scale=0.78)):
        crown_shape(s, m, arches=False)


def wizard_hat(s: Sculpture, b: Body, m: Material) -> None:
    star = plain((0.98, 0.84, 0.25), 0.4)
    with s.frame(b.head), s.frame(_crown_of_head(b, 0.22, -10)), s.group(0.06):
        s.lathe((0, 0, 0), [(0.3, 0.02), (1.12, -0.02)], m, 0.035, waves=(0.05, 3))
        s.tube(
            [(0, 0.05, 0), (0, 0.62, -0.02), (0.03, 1.10, -0.10), (0.16, 1.42, -0.26)],
            [0.64, 0.38, 0.20, 0.05],
            m,
        )
        with s.painting(0.01):
            s.frustum((0, 0.16, 0), 1, 1, 0.08, star)
            for a, y, r in (
                (20, 0.50, 0.52),
                (-38, 0.74, 0.40),
                (80, 0.80, 0.36),
                (160, 0.55, 0.5),
                (230, 0.7, 0.42),
            ):
                s.ball((r * math.sin(math.radians(a)), y, r * math.cos(math.radians(a))), 0.10, star)


def beanie(s: Sculpture, b: Body, m: Material) -> None:
    knitted = Material(m.first, scaled(m.first, 0.6), "knit", 0.07, 0.3, gloss=0.0)
    fx, fy, fz = b.species.face
    with s.frame(b.head), s.group(0.05):
        s.ellipsoid((0, 0.42, -0.10), (fx * 0.93, fy * 0.78, fz * 0.93), knitted)
        with s.carving(0.02):
            s.box((0, -0.62, 0), (2, 1.0, 2), knitted)
        s.torus((0, 0.46, -0.10), fx * 0.86, 0.12, knitted)
        s.ball((0, 0.42 + fy * 0.80, -0.12), 0.20, fur(scaled(m.first, 1.2)))


def helmet(s: Sculpture, b: Body, m: Material) -> None:
    """A knight's, its visor raised, with a plume."""
    fx, fy, fz = b.species.face
    with s.frame(b.head):
        with s.group(0.02):
            s.ellipsoid((0, 0.10, -0.06), (fx * 1.16, fy * 1.18, fz * 1.16), m)
            with s.carving(0.02):
                s.ellipsoid((0, 0.0, 0), (fx * 1.05, fy * 1.05, fz * 1.05), m)
                s.ellipsoid((0, -0.22, 1.0), (0.80, 0.66, 0.90), m)
                s.box((0, -1.5, 0), (2, 0.75, 2), m)
        s.box((0, 0.62, 1.0), (0.62, 0.17, 0.05), m, (-38, 0, 0), 0.04)
        for x in (-0.3, 0, 0.3):
            s.box((x, 0.62, 1.05), (0.07, 0.05, 0.05), DARK, (-38, 0, 0))
        s.torus((0, 0.12, -0.06), 1.20, 0.055, GOLD, (90, 0, 90), arc=150)
        with s.group(0.1):
            red = fur((0.78, 0.08, 0.10))
            s.tube(
                [(0, 1.15, -0.1), (0, 1.55, -0.25), (0, 1.50, -0.75), (0, 1.05, -1.15)],
                [0.08, 0.22, 0.24, 0.08],
                red,
            )


def nurse_cap(s: Sculpture, b: Body, m: Material) -> None:
    cross = plain(COLORS["red"])
    place = Frame.at((0, b.species.face[1] * 0.86, 0.30), (-24, 0, 0))
    with s.frame(b.head), s.frame(place), s.group(0.03):
        s.box((0, 0.10, 0), (0.52, 0.22, 0.16), m, rounding=0.08)
        s.box((0, -0.08, 0.04), (0.60, 0.10, 0.20), m, rounding=0.06)
        with s.painting(0.006):
            s.box((0, 0.10, 0.2), (0.15, 0.05, 0.2), cross, rounding=0.005)
            s.box((0, 0.10, 0.2), (0.05, 0.15, 0.2), cross, rounding=0.005)


def flat_cap(s: Sculpture, b: Body, m: Material) -> None:
    """A Tudor bonnet with a feather."""
    with s.frame(b.head), s.frame(_crown_of_head(b, 0.12, -8)):
        with s.group(0.05):
            s.ellipsoid((0, 0.10, 0), (0.98, 0.19, 0.98), m)
            s.frustum((0, -0.02, 0), 0.72, 0.80, 0.08, m, rounding=0.04)
        for i in range(9):
            a = math.radians(-80 + 20 * i)
            s.ball((0.80 * math.sin(a), -0.02, 0.80 * math.cos(a)), 0.055, GOLD)
        white = fur((0.96, 0.95, 0.92))
        with s.group(0.06):
            s.tube(
                [(0.62, 0.16, 0.62), (0.92, 0.34, 0.28), (0.96, 0.42, -0.20), (0.72, 0.40, -0.66)],
                [0.06, 0.14, 0.15, 0.05],
                white,
            )


def wig(s: Sculpture, b: Body, m: Material) -> None:
    """A clown's curls."""
    fx, fy, _ = b.species.face
    bright = [fur(COLORS[name], 1.1) for name in ("red", "orange", "yellow", "green", "blue", "purple")]
    del m
    with s.frame(b.head), s.group(0.05):
        for ring, (y, r, n) in enumerate(
            ((-0.10, 1.12, 9), (0.34, 1.10, 9), (0.74, 0.82, 8), (1.04, 0.40, 5))
        ):
            for i in range(n):
                a = 2 * math.pi * (i + 0.5 * ring) / n
                if math.cos(a) > 0.25 and y < 0.7:
                    continue  # the face stays free
                s.ball((r * fx * math.sin(a), y * fy, r * math.cos(a) - 0.12), 0.30, bright[(i + ring) % 6])


def mullet(s: Sculpture, b: Body, m: Material) -> None:
    """Short at the sides and front, long behind."""
    fx, fy, fz = b.species.face
    hair = Material(m.first, scaled(m.first, 0.55), "fur", 0.06, 0.25, gloss=0.08, rim=0.05)
    with s.frame(b.head), s.group(0.10):
        s.ellipsoid((0, 0.34, -0.22), (fx * 0.98, fy * 0.86, fz * 0.96), hair)
        with s.carving(0.06):
            s.ellipsoid((0, -0.20, 0.95), (1.05, 0.78, 0.62), hair)
        for i in range(5):  # a short, spiky top
            x = 0.24 * (i - 2)
            s.limb((x, 0.86, 0.34), (x * 1.3, 1.16 - 0.05 * abs(i - 2), 0.52), 0.17, hair, 0.03)
        for side in SIDES:  # locks down the back, spread over the shoulders
            for x, z, low in ((0.74, -0.66, -1.25), (0.46, -0.92, -1.70), (0.14, -1.0, -1.90)):
                s.tube(
                    [
                        (side * x, 0.25, z),
                        (side * x * 1.05, -0.55, z - 0.12),
                        (side * x * 1.7, low, z - 0.45),
                    ],
                    [0.30, 0.28, 0.06],
                    hair,
                )


def red_nose(s: Sculpture, b: Body, m: Material) -> None:
    y = b.species.snout_drop
    z = on_face(b.species, 0, y) + b.species.snout[2]
    with s.frame(b.head):
        s.ball((0, y + b.species.snout[1] * 0.4, z + 0.04), 0.24, m)


def eyeglasses(s: Sculpture, b: Body, m: Material) -> None:
    points = eye_points(b.species)
    (x, y, z), r = points[0], max(0.30, b.species.eye * 1.7)
    glasses_shape(s, m, b.head, (x, y, z + b.species.eye + 0.05), r, b.species.face[0] + 0.02)


def glasses_shape(s: Sculpture, m: Material, frame: Frame, eye: Triple, r: float, side_x: float) -> None:
    """Round glasses in a frame: before an eye at ``eye`` and its mirror, their arms at ``side_x``."""
    x, y, z = eye
    x = max(x, r * 1.08)
    with s.frame(frame):
        for side in SIDES:
            s.torus((side * x, y, z), r, 0.05, m, (90, 0, 0))
            s.limb((side * (x + r), y + 0.04, z), (side * side_x, y + 0.12, z - 0.30), 0.045, m)
            s.limb((side * side_x, y + 0.12, z - 0.30), (side * side_x * 0.98, y + 0.10, -0.25), 0.045, m)
        s.limb((-x + r, y + 0.05, z + 0.02), (x - r, y + 0.05, z + 0.02), 0.045, m)


def headphones(s: Sculpture, b: Body, m: Material) -> None:
    fx, fy, _ = b.species.face
    side = fx + (0.14 if b.species.ears == "side" else 0.02)
    with s.frame(b.head):
        headphones_shape(s, m, side, fy + 0.08)


def headphones_shape(s: Sculpture, m: Material, side: float, top: float) -> None:
    """A band over the head from ear to ear, with cushions."""
    n = 9
    arch = [
        (side * 1.02 * math.cos(math.pi * i / (n - 1)), 0.06 + top * math.sin(math.pi * i / (n - 1)), -0.04)
        for i in range(n)
    ]
    s.tube(arch, 0.075, m)
    s.tube([(x * 0.97, y - 0.05, z) for x, y, z in arch[2:-2]], 0.085, DARK)
    for k in SIDES:
        s.frustum((k * (side + 0.10), 0.0, -0.02), 0.40, 0.34, 0.13, m, (0, 0, -90 * k), 0.06)
        s.frustum((k * (side - 0.02), 0.0, -0.02), 0.36, 0.36, 0.10, DARK, (0, 0, -90 * k), 0.06)
        s.frustum((k * (side + 0.235), 0.0, -0.02), 0.20, 0.18, 0.02, STEEL, (0, 0, -90 * k), 0.01)


HATS: dict[str, tuple[Wear, Triple | None]] = {
    "top hat": (top_hat, (0.08, 0.08, 0.09)),
    "crown": (crown, None),
    "wizard hat": (wizard_hat, (0.20, 0.16, 0.55)),
    "beanie": (beanie, COLORS["red"]),
    "helmet": (helmet, None),
    "nurse cap": (nurse_cap, (0.95, 0.95, 0.94)),
    "flat cap": (flat_cap, (0.10, 0.08, 0.09)),
    "wig": (wig, COLORS["red"]),
    "mullet": (mullet, (0.30, 0.17, 0.08)),
    "red nose": (red_nose, COLORS["red"]),
    "eyeglasses": (eyeglasses, (0.09, 0.08, 0.08)),
    "headphones": (headphones, (0.82, 0.10, 0.12)),
}
"""Name => (how it is put on, its usual colour); None: gold or steel."""

METALS: dict[str, Material] = {"crown": GOLD, "helmet": STEEL}


def hat_material(name: str, color: Sequence[float] | None) -> Material:
    """What a hat is made of, in its usual colour or another."""
    usual = HATS[name][1]
    if color is None and usual is None:
        return METALS[name]
    r, g, b = color if color is not None else usual or LIGHT.first
    return plain((r, g, b), 0.15)
