"""Creatures by numbers: each species is a row of this table."""

from __future__ import annotations

from dataclasses import dataclass

from sctd.embedded.worlds.rich.materials import Triple

WHITE, CREAM, BLACK, PINK = (0.94, 0.93, 0.90), (0.93, 0.86, 0.72), (0.075, 0.07, 0.075), (0.93, 0.56, 0.58)


@dataclass(frozen=True)
class Species:
    """Lengths in units of the rig, in which an upright creature is about 1.6 tall. Lengths of the head's
    features are in units of the head's radius."""

    coat: Triple
    belly: Triple | None = None
    """Of chest and belly; None: the coat's."""
    muzzle: Triple | None = None
    """Of snout and cheeks; None: the coat's."""
    sock: Triple | None = None
    """Of hands and feet."""
    limb: Triple | None = None
    """Of whole arms and legs."""
    inner: Triple = PINK
    """Of the ears' insides."""
    ear: Triple | None = None
    dark: Triple = BLACK
    """Of markings."""
    nose: Triple = BLACK
    iris: Triple | None = None
    """None: eyes are all dark."""
    skin: str = "fur"
    """fur, smooth, wet, scales."""
    head: float = 0.31
    face: Triple = (1.0, 0.92, 0.92)
    """Radii of the skull."""
    snout: Triple = (0.42, 0.32, 0.45)
    """Half width, half height, how far it stands out."""
    snout_drop: float = -0.28
    nose_size: float = 0.15
    eye: float = 0.135
    eye_at: tuple[float, float] = (0.36, 0.16)
    """Half distance, height."""
    ears: str = "round"
    ear_size: float = 0.36
    tail: str = "stub"
    markings: tuple[str, ...] = ()
    fat: float = 1.0
    """Width of the torso."""
    leg: float = 1.0
    """Length of the legs."""
    thick: float = 1.0
    """Width of the limbs."""
    stance: str = "four"
    """four, upright, sitting or squat: how it stands when nothing else is said."""


SPECIES: dict[str, Species] = {
    "bear": Species(
        (0.36, 0.21, 0.11),
        muzzle=(0.66, 0.48, 0.30),
        inner=(0.55, 0.38, 0.24),
        fat=1.2,
        thick=1.15,
        head=0.31,
        ears="round",
        ear_size=0.33,
        stance="upright",
    ),
    "panda": Species(
        WHITE,
        limb=BLACK,
        ear=BLACK,
        inner=BLACK,
        face=(1.08, 0.95, 0.95),
        ear_size=0.36,
        fat=1.25,
        thick=1.15,
        head=0.33,
        snout=(0.40, 0.30, 0.36),
        markings=("panda eyes", "shoulders"),
        stance="sitting",
    ),
    "red panda": Species(
        (0.70, 0.27, 0.10),
        belly=(0.12, 0.07, 0.06),
        muzzle=WHITE,
        limb=(0.13, 0.08, 0.07),
        ear=WHITE,
        inner=(0.30, 0.12, 0.08),
        ears="point",
        ear_size=0.46,
        tail="ringed",
        dark=(0.48, 0.15, 0.06),
        face=(1.12, 0.90, 0.92),
        snout=(0.36, 0.28, 0.40),
        markings=("brows", "tears", "cheeks"),
        leg=0.8,
    ),
    "cat": Species(
        (0.80, 0.50, 0.22),
        belly=WHITE,
        muzzle=WHITE,
        sock=WHITE,
        ears="point",
        ear_size=0.50,
        tail="long",
        face=(1.05, 0.90, 0.90),
        snout=(0.36, 0.24, 0.26),
        nose=PINK,
        nose_size=0.10,
        iris=(0.45, 0.68, 0.22),
        eye=0.17,
        fat=0.85,
        thick=0.85,
        markings=("tabby", "whiskers"),
        stance="sitting",
    ),
    "corgi": Species(
        (0.85, 0.52, 0.22),
        belly=WHITE,
        muzzle=WHITE,
        sock=WHITE,
        inner=(0.80, 0.58, 0.48),
        ears="point",
        ear_size=0.66,
        tail="stub",
        leg=0.52,
        fat=1.08,
        snout=(0.34, 0.28, 0.66),
        snout_drop=-0.24,
        face=(1.04, 0.90, 0.94),
        markings=("blaze", "cheeks", "collar"),
    ),
    "chow chow": Species(
        (0.74, 0.40, 0.17),
        muzzle=(0.42, 0.22, 0.11),
        inner=(0.45, 0.24, 0.12),
        ears="round",
        ear_size=0.30,
        tail="fluff",
        fat=1.25,
        thick=1.25,
        leg=0.72,
        snout=(0.42, 0.36, 0.44),
        eye=0.10,
        markings=("mane",),
    ),
    "pig": Species(
        (0.95, 0.66, 0.66),
        skin="smooth",
        inner=(0.88, 0.48, 0.50),
        nose=(0.90, 0.50, 0.53),
        ears="fold",
        ear_size=0.42,
        tail="curl",
        fat=1.2,
        leg=0.68,
        sock=(0.45, 0.28, 0.26),
        snout=(0.36, 0.30, 0.62),
        snout_drop=-0.14,
        nose_size=0.0,
        eye=0.11,
        markings=("disc",),
    ),
    "mouse": Species(
        (0.56, 0.54, 0.54),
        belly=(0.84, 0.82, 0.80),
        sock=PINK,
        nose=PINK,
        ears="dish",
        ear_size=0.62,
        tail="thin",
        fat=0.95,
        thick=0.75,
        leg=0.75,
        face=(0.92, 0.86, 1.0),
        snout=(0.32, 0.28, 0.72),
        snout_drop=-0.22,
        nose_size=0.13,
        eye=0.14,
        markings=("whiskers",),
        stance="upright",
    ),
    "rabbit": Species(
        (0.66, 0.56, 0.46),
        belly=WHITE,
        muzzle=WHITE,
        ears="long",
        ear_size=1.15,
        tail="puff",
        nose=PINK,
        nose_size=0.10,
        snout=(0.36, 0.28, 0.32),
        eye=0.17,
        fat=0.95,
        markings=("teeth",),
        stance="sitting",
    ),
    "raccoon": Species(
        (0.46, 0.44, 0.43),
        belly=(0.68, 0.65, 0.62),
        muzzle=WHITE,
        sock=BLACK,
        ear=WHITE,
        inner=(0.2, 0.18, 0.18),
        ears="round",
        ear_size=0.36,
        tail="ringed",
        snout=(0.32, 0.27, 0.58),
        face=(1.12, 0.88, 0.92),
        markings=("mask", "brows"),
        stance="upright",
    ),
    "fox": Species(
        (0.86, 0.38, 0.10),
        belly=WHITE,
        muzzle=WHITE,
        sock=(0.13, 0.09, 0.08),
        ear=(0.80, 0.33, 0.08),
        inner=(0.15, 0.10, 0.09),
        ears="point",
        ear_size=0.62,
        tail="brush",
        fat=0.85,
        thick=0.8,
        face=(1.06, 0.84, 0.90),
        snout=(0.27, 0.24, 0.78),
        iris=(0.80, 0.55, 0.12),
        markings=("cheeks",),
    ),
    "squirrel": Species(
        (0.63, 0.32, 0.14),
        belly=CREAM,
        muzzle=CREAM,
        ears="tuft",
        ear_size=0.44,
        tail="plume",
        fat=0.9,
        thick=0.8,
        leg=0.8,
        snout=(0.34, 0.27, 0.46),
        eye=0.16,
        markings=("teeth",),
        stance="upright",
    ),
    "chimpanzee": Species(
        (0.15, 0.115, 0.10),
        muzzle=(0.80, 0.60, 0.48),
        sock=(0.66, 0.48, 0.38),
        inner=(0.76, 0.56, 0.45),
        ear=(0.76, 0.56, 0.45),
        ears="side",
        ear_size=0.40,
        tail="none",
        face=(0.94, 0.98, 0.92),
        snout=(0.52, 0.38, 0.46),
        snout_drop=-0.36,
        nose_size=0.0,
        iris=(0.45, 0.26, 0.10),
        eye=0.12,
        markings=("monkey face",),
        stance="upright",
    ),
    "elephant": Species(
        (0.53, 0.53, 0.56),
        skin="smooth",
        inner=(0.74, 0.58, 0.58),
        ears="fan",
        ear_size=1.05,
        tail="thin",
        fat=1.4,
        thick=1.6,
        head=0.34,
        face=(0.92, 1.0, 0.90),
        snout=(0.0, 0.0, 0.0),
        nose_size=0.0,
        eye=0.09,
        eye_at=(0.52, 0.10),
        markings=("trunk",),
        sock=(0.44, 0.44, 0.46),
    ),
    "lion": Species(
        (0.84, 0.62, 0.30),
        muzzle=CREAM,
        dark=(0.45, 0.22, 0.08),
        ears="round",
        ear_size=0.28,
        tail="tuft",
        snout=(0.42, 0.34, 0.52),
        iris=(0.78, 0.50, 0.10),
        markings=("lion mane",),
        fat=1.0,
    ),
    "cow": Species(
        WHITE,
        muzzle=(0.93, 0.68, 0.64),
        nose_size=0.0,
        ears="fold",
        ear_size=0.42,
        tail="tuft",
        snout=(0.46, 0.36, 0.56),
        fat=1.2,
        markings=("patches", "horns"),
        sock=(0.24, 0.20, 0.18),
        dark=BLACK,
    ),
    "penguin": Species(
        (0.10, 0.11, 0.14),
        belly=WHITE,
        muzzle=WHITE,
        sock=(0.96, 0.58, 0.10),
        ears="none",
        tail="stub",
        skin="smooth",
        fat=1.45,
        leg=0.40,
        head=0.29,
        snout=(0.17, 0.12, 0.62),
        snout_drop=-0.12,
        nose_size=0.0,
        nose=(0.96, 0.58, 0.10),
        markings=("beak", "penguin face", "flippers"),
        stance="upright",
        eye=0.11,
    ),
    "duck": Species(
        (0.97, 0.82, 0.20),
        sock=(0.95, 0.50, 0.08),
        ears="none",
        tail="stub",
        skin="smooth",
        fat=1.4,
        leg=0.40,
        snout=(0.34, 0.12, 0.70),
        snout_drop=-0.16,
        nose_size=0.0,
        nose=(0.95, 0.50, 0.08),
        eye=0.12,
        markings=("bill", "flippers"),
        stance="upright",
    ),
    "owl": Species(
        (0.48, 0.33, 0.20),
        belly=(0.80, 0.68, 0.50),
        muzzle=(0.86, 0.76, 0.60),
        sock=(0.85, 0.60, 0.20),
        ears="tuft",
        ear_size=0.34,
        tail="stub",
        fat=1.4,
        leg=0.38,
        head=0.36,
        snout=(0.10, 0.14, 0.34),
        nose=(0.80, 0.56, 0.14),
        nose_size=0.0,
        iris=(0.96, 0.70, 0.10),
        eye=0.27,
        eye_at=(0.37, 0.10),
        markings=("beak", "owl face", "flippers"),
        stance="upright",
    ),
    "tree frog": Species(
        (0.36, 0.72, 0.16),
        belly=(0.92, 0.90, 0.70),
        sock=(0.95, 0.46, 0.08),
        iris=(0.86, 0.06, 0.05),
        skin="wet",
        ears="none",
        tail="none",
        markings=("frog", "blue sides"),
        stance="squat",
        eye=0.30,
    ),
    "poison-dart frog": Species(
        (0.10, 0.32, 0.86),
        skin="wet",
        ears="none",
        tail="none",
        dark=(0.03, 0.04, 0.09),
        markings=("frog", "blots"),
        stance="squat",
        eye=0.22,
    ),
    "frog": Species(
        (0.27, 0.56, 0.17),
        belly=(0.86, 0.86, 0.60),
        iris=(0.80, 0.62, 0.14),
        skin="wet",
        ears="none",
        tail="none",
        markings=("frog",),
        stance="squat",
        eye=0.26,
    ),
    "dragon": Species(
        (0.22, 0.60, 0.34),
        belly=(0.93, 0.84, 0.52),
        inner=(0.90, 0.58, 0.28),
        skin="scales",
        ears="horns",
        ear_size=0.55,
        tail="dragon",
        snout=(0.40, 0.30, 0.62),
        nose_size=0.0,
        iris=(0.92, 0.66, 0.10),
        eye=0.19,
        fat=1.05,
        leg=0.8,
        markings=("nostrils", "spikes", "wings"),
        stance="sitting",
    ),
}
