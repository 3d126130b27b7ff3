"""What the rich world's things are made of: materials, and styles that re-dress a whole thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

Triple = tuple[float, float, float]
PATTERNS = (
    *("plain", "stripes", "spots", "mottle", "wood", "marble", "knit", "fur", "plaid", "scales", "kernels"),
    *("rings", "holes"),
)  # csrc/include/sculpt.h

COLORS: dict[str, Triple] = {
    "red": (0.82, 0.10, 0.09),
    "orange": (0.95, 0.47, 0.08),
    "yellow": (0.97, 0.80, 0.10),
    "green": (0.16, 0.58, 0.20),
    "cyan": (0.12, 0.74, 0.78),
    "blue": (0.12, 0.26, 0.85),
    "purple": (0.50, 0.18, 0.70),
    "pink": (0.97, 0.52, 0.70),
    "brown": (0.43, 0.26, 0.13),
    "white": (0.93, 0.92, 0.90),
    "grey": (0.50, 0.50, 0.51),
    "black": (0.09, 0.09, 0.10),
}


@dataclass(frozen=True)
class Material:
    """Colour, texture and shine; the fields of csrc/include/sculpt.h."""

    first: Triple
    """RGB 0..1."""
    second: Triple | None = None
    """The pattern's other colour; None: the first."""
    pattern: str = "plain"
    period: float = 0.1
    """Of the pattern, in units of the finished scene, whose radius is 1."""
    cavity: float = 0.0
    gloss: float = 0.06
    exponent: float = 24.0
    metal: float = 0.0
    facet: float = 0.0
    rim: float = 0.0

    def row(self) -> tuple[float, ...]:
        """The floats of csrc/include/sculpt.h."""
        pattern = float(PATTERNS.index(self.pattern))
        tail = (self.period, self.cavity, self.gloss, self.exponent, self.metal, self.facet, self.rim)
        return (*self.first, *(self.second or self.first), pattern, *tail)


def plain(color: Triple, gloss: float = 0.06) -> Material:
    """Smooth and dull, as rubber is; with more ``gloss``, as paint is."""
    return Material(color, gloss=gloss, exponent=24 if gloss < 0.2 else 60)


def painted(color: Triple) -> Material:
    """Lacquer over metal: bodies of cars."""
    return Material(color, gloss=0.45, exponent=60, metal=0.12)


def fur(color: Triple, light: float = 1.16) -> Material:
    """Hair, a little lighter at its tips."""
    return Material(color, scaled(color, light), "fur", 0.045, 0.20, gloss=0.0, rim=0.07)


def cloth(color: Triple) -> Material:
    return Material(color, scaled(color, 0.88), "fur", 0.03, 0.08, gloss=0.0, rim=0.03)


def metal(color: Triple) -> Material:
    return Material(color, gloss=0.5, exponent=50, metal=0.85)


def scaled(color: Triple, factor: float) -> Triple:
    """Lighter or darker, within 0..1."""
    r, g, b = (min(1.0, max(0.0, c * factor)) for c in color)
    return (r, g, b)


def mixed(a: Triple, b: Triple, share: float) -> Triple:
    """a, with ``share`` of b."""
    r, g, bl = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return (r, g, bl)


DARK = plain((0.06, 0.06, 0.07), 0.25)
LIGHT = plain((0.93, 0.93, 0.90))
EYE = Material((0.03, 0.025, 0.03), gloss=0.6, exponent=80)
RUBBER = plain((0.09, 0.09, 0.10))
STEEL = metal((0.72, 0.74, 0.78))
IRON = Material((0.30, 0.31, 0.34), gloss=0.3, exponent=40, metal=0.45)
GOLD = metal((0.98, 0.74, 0.26))
BRASS = metal((0.95, 0.70, 0.30))
WOOD = Material((0.60, 0.38, 0.20), (0.44, 0.26, 0.13), "wood", 0.10, gloss=0.12)
PINE = Material((0.82, 0.62, 0.38), (0.70, 0.49, 0.27), "wood", 0.09, gloss=0.08)
VARNISH = Material((0.66, 0.30, 0.12), (0.52, 0.21, 0.07), "wood", 0.07, gloss=0.55, exponent=60)
STONE = Material((0.60, 0.59, 0.57), (0.46, 0.45, 0.44), "mottle", 0.11, 0.25, gloss=0.0)
MARBLE = Material((0.93, 0.92, 0.90), (0.72, 0.72, 0.74), "marble", 0.55, gloss=0.30, exponent=40)
SAND = Material((0.87, 0.74, 0.50), (0.75, 0.61, 0.38), "mottle", 0.028, 0.30, gloss=0.0)
GLASS = Material((0.62, 0.80, 0.88), gloss=0.8, exponent=90, metal=0.25, rim=0.35)
WINDOW = Material((0.16, 0.22, 0.28), gloss=0.6, exponent=70, metal=0.35)
CHEESE = Material((0.98, 0.78, 0.24), (0.80, 0.54, 0.10), "holes", 0.19, 0.35, gloss=0.10)
PAPER = plain((0.95, 0.94, 0.91), 0.02)
LEATHER = Material((0.36, 0.20, 0.10), (0.29, 0.16, 0.08), "mottle", 0.06, 0.15, gloss=0.22)
LEAF = Material((0.20, 0.50, 0.17), (0.14, 0.40, 0.13), "mottle", 0.12, gloss=0.12)
GRASS = plain((0.24, 0.55, 0.18))
CREAM = plain((0.96, 0.91, 0.78))
SKIN = plain((0.92, 0.70, 0.57))
DENIM = cloth((0.18, 0.28, 0.52))
LAMP = Material((1.0, 0.93, 0.66), gloss=0.6, exponent=50, rim=0.25)
PLAID = Material((0.78, 0.10, 0.09), (0.10, 0.06, 0.06), "plaid", 0.16, gloss=0.0)
VEGETABLES = {
    "tomato": Material((0.86, 0.14, 0.08), gloss=0.6, exponent=60),
    "cucumber": Material((0.22, 0.50, 0.16), (0.40, 0.68, 0.28), "stripes", 0.07, gloss=0.25),
    "carrot": Material((0.95, 0.46, 0.10), (0.80, 0.34, 0.06), "rings", 0.07, 0.25, gloss=0.1),
    "corn": Material((0.98, 0.82, 0.22), (0.90, 0.66, 0.10), "kernels", 0.075, 0.45, gloss=0.3),
    "broccoli": Material((0.16, 0.44, 0.14), (0.30, 0.60, 0.22), "mottle", 0.05, 0.55, gloss=0.0),
    "aubergine": Material((0.30, 0.10, 0.34), gloss=0.7, exponent=70),
    "potato": Material((0.80, 0.64, 0.40), (0.62, 0.46, 0.26), "mottle", 0.07, 0.1, gloss=0.03),
    "radish": Material((0.85, 0.16, 0.36), gloss=0.4, exponent=50),
}

Style = Callable[[Material, int], Material]
"""(a part's material, its number) => what the style makes of it."""


def _luminance(color: Triple) -> float:
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def _shaded(base: Material, spread: float) -> Style:
    """One material for all parts; dark ones stay a little darker, so that eyes and buttons remain visible."""

    def style(m: Material, number: int) -> Material:
        del number
        factor = 1 - spread + spread * min(1.0, 0.25 + 1.5 * _luminance(m.first))
        second = base.second or base.first
        return replace(base, first=scaled(base.first, factor), second=scaled(second, factor))

    return style


def _knitted(m: Material, number: int) -> Material:
    del number
    return Material(m.first, scaled(m.first, 0.60), "knit", 0.062, 0.30, gloss=0.0, rim=0.04)


def _plush(m: Material, number: int) -> Material:
    del number
    if m is EYE or m is DARK:
        return m
    return Material(mixed(m.first, (1, 1, 1), 0.10), m.first, "fur", 0.030, 0.22, gloss=0.0, rim=0.28)


def _low_poly(m: Material, number: int) -> Material:
    del number
    return Material(m.first, m.second, m.pattern, m.period, 0.0, gloss=0.0, facet=0.17)


def _shiny(m: Material, number: int) -> Material:
    del number
    return replace(m, gloss=0.75, exponent=70, metal=max(m.metal, 0.50), cavity=0.0, rim=0.0)


def _patterned(pattern: str, period: float) -> Style:
    def style(m: Material, number: int) -> Material:
        del number
        other = (0.08, 0.08, 0.09) if _luminance(m.first) > 0.75 else (0.96, 0.96, 0.94)
        return replace(m, second=other, pattern=pattern, period=period, cavity=0.0)

    return style


def _vegetable(m: Material, number: int) -> Material:
    if m is EYE or m is DARK:
        return m
    stuffs = list(VEGETABLES.values())
    return stuffs[(number * 5 + 3) % len(stuffs)]


_CHANGED: dict[str, Style] = {
    "striped": _patterned("stripes", 0.26),
    "spotted": _patterned("spots", 0.25),
    "shiny": _shiny,
    "plush": _plush,
    "knitted": _knitted,
    "low poly": _low_poly,
    "vegetables": _vegetable,
}
_STUFFS: dict[str, tuple[Material, float]] = {
    "wooden": (PINE, 0.55),
    "stone": (STONE, 0.45),
    "marble": (MARBLE, 0.30),
    "statue": (MARBLE, 0.30),
    "metal": (metal((0.78, 0.80, 0.84)), 0.55),
    "golden": (GOLD, 0.45),
    "glass": (GLASS, 0.45),
    "cheese": (CHEESE, 0.45),
}
STYLES = (*_CHANGED, *_STUFFS)
"""Names of the styles: those that keep a thing's colours, then those that make it of one stuff."""


def style_of(name: str, color: str = "") -> Style:
    """What a style makes of each material of a thing; one of a single material is stained in the colour."""
    if name in _CHANGED:
        return _CHANGED[name]
    base, spread = _STUFFS[name]
    if color:
        stained = mixed(base.first, COLORS[color], 0.75)
        second = mixed(base.second, COLORS[color], 0.75) if base.second else None
        base = replace(base, first=stained, second=second)
    return _shaded(base, spread)
