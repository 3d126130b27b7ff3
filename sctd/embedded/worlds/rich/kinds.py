"""All kinds of the rich world: how each is built, its usual material, and what can sit on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sctd.embedded.worlds.rich import bugs, everyday, food, people, props, things, vehicles
from sctd.embedded.worlds.rich.materials import (
    BRASS,
    COLORS,
    GOLD,
    PINE,
    SAND,
    VARNISH,
    Material,
    Triple,
    cloth,
    metal,
    painted,
    plain,
)
from sctd.embedded.worlds.rich.rig import Body, Skeleton
from sctd.embedded.worlds.rich.sculpture import Sculpture
from sctd.embedded.worlds.rich.species import SPECIES, Species


@dataclass(frozen=True)
class Kind:
    """One kind. A creature has a species; a figure (robot, astronaut) has its own body on their skeleton."""

    build: Callable[[Sculpture, Material], None] | None = None
    species: Species | None = None
    figure: Callable[[Sculpture, Skeleton, Material], Body] | None = None
    color: str = ""
    """Its usual colour; empty: ``usual``, which no name of a colour says."""
    usual: Material | None = None
    stuff: Callable[[Triple], Material] = plain
    """Colour => what it is made of."""
    front: bool = True
    top: tuple[float, float, float, float] | None = None
    """Where something stands on it: x, y, z, and how wide that may be."""
    seat: tuple[float, float, float] | None = None
    """Where a rider sits, in units in which it is ``size`` of a rider's."""
    size: float = 1.0

    @property
    def alive(self) -> bool:
        """Whether it takes poses, wears and holds things."""
        return self.build is None

    def material(self, color: str) -> Material:
        """Its main material, in a colour or in the usual one."""
        if not color and self.usual is not None:
            return self.usual
        return self.stuff(COLORS[color or self.color])


def _glossy(color: Triple) -> Material:
    return plain(color, 0.45)


CREATURES = {name: Kind(species=species) for name, species in SPECIES.items()}
KINDS: dict[str, Kind] = {
    **CREATURES,
    "poison-dart frog": Kind(species=SPECIES["poison-dart frog"], color="blue"),
    "robot": Kind(figure=people.robot, usual=metal((0.70, 0.73, 0.78)), stuff=painted),
    "astronaut": Kind(figure=people.astronaut, color="white"),
    "snowman": Kind(everyday.snowman, color="white"),
    "lobster": Kind(bugs.lobster, color="red", stuff=_glossy),
    "beetle": Kind(bugs.beetle, color="green", stuff=_glossy),
    "crab": Kind(bugs.crab, color="orange", stuff=_glossy),
    "car": Kind(vehicles.car, color="red", stuff=painted, top=(0, 0.34, -0.16, 0.7)),
    "school bus": Kind(vehicles.school_bus, color="yellow", stuff=painted, top=(0, 0.52, -0.16, 0.7)),
    "truck": Kind(everyday.truck, color="green", stuff=painted, top=(0, 0.54, -0.22, 0.7)),
    "bulldozer": Kind(vehicles.bulldozer, color="yellow", stuff=painted),
    "motorcycle": Kind(vehicles.motorcycle, color="red", stuff=painted, seat=(0, 0.15, -0.30), size=0.90),
    "road bike": Kind(vehicles.road_bike, color="cyan", stuff=painted, seat=(0, 0.44, -0.30), size=0.92),
    "biplane": Kind(vehicles.biplane, color="red", stuff=painted, seat=(0, 0.00, -0.14), size=1.55),
    "boat": Kind(vehicles.boat, color="blue", stuff=painted, seat=(0, -0.02, -0.08), size=1.25),
    "airplane": Kind(everyday.airplane, color="cyan", stuff=painted),
    "rocket": Kind(everyday.rocket, color="red", stuff=painted, front=False),
    "strawberry": Kind(food.strawberry, color="red", front=False),
    "tacos": Kind(food.tacos, color="white", stuff=_glossy),
    "hamburger": Kind(food.hamburger, color="red", front=False),
    "carrot": Kind(food.carrot, color="orange", front=False),
    "banana": Kind(food.banana, color="yellow"),
    "cake": Kind(food.cake, color="pink", front=False),
    "pizza": Kind(food.pizza, color="red", front=False),
    "watermelon": Kind(food.watermelon, color="red"),
    "apple": Kind(food.apple, color="red", stuff=_glossy, front=False),
    "donut": Kind(everyday.donut, color="pink", stuff=_glossy, front=False),
    "ice cream": Kind(everyday.ice_cream, color="pink", front=False),
    "mushroom": Kind(everyday.mushroom, color="red", stuff=_glossy, front=False, top=(0, 0.62, 0, 0.7)),
    "tuba": Kind(props.tuba, usual=BRASS, stuff=metal),
    "violin": Kind(props.violin, usual=VARNISH, stuff=_glossy),
    "guitar": Kind(props.guitar, usual=PINE, stuff=_glossy),
    "drum": Kind(props.drum, color="red", stuff=painted, front=False, top=(0, 0.38, 0, 1.0)),
    "typewriter": Kind(things.typewriter, color="cyan", stuff=painted),
    "telephone": Kind(things.telephone, color="black"),
    "elephant skull": Kind(things.elephant_skull, usual=plain((0.88, 0.83, 0.70), 0.05)),
    "sand castle": Kind(things.sand_castle, usual=SAND),
    "origami crane": Kind(things.origami_crane, color="white"),
    "egg": Kind(things.egg, usual=plain((0.94, 0.88, 0.78), 0.15), front=False, seat=(0, -0.42, 0), size=0.9),
    "water lily": Kind(things.water_lily, color="pink", top=(0.08, 0.04, 0.14, 1.25)),
    "crown": Kind(things.crown, usual=GOLD, stuff=metal, front=False),
    "top hat": Kind(things.top_hat, color="black", front=False, top=(0, 0.88, 0, 0.7)),
    "backpack": Kind(things.backpack, color="red", stuff=cloth),
    "eyeglasses": Kind(things.eyeglasses, color="black", stuff=_glossy),
    "headphones": Kind(things.headphones, color="red", stuff=_glossy),
    "teapot": Kind(things.teapot, color="blue", stuff=_glossy),
    "chair": Kind(everyday.chair, color="brown", top=(0, 0.0, 0.02, 0.8)),
    "table": Kind(everyday.table, color="brown", front=False, top=(0, 0.34, 0, 1.2)),
    "sofa": Kind(everyday.sofa, color="blue", stuff=cloth, top=(0, 0.0, 0.14, 1.0)),
    "house": Kind(everyday.house, color="yellow"),
    "ball": Kind(everyday.ball, color="red", stuff=_glossy, front=False, top=(0, 0.70, 0, 0.8)),
    "cube": Kind(everyday.cube, color="blue", front=False, top=(0, 0.52, 0, 0.9)),
    "cone": Kind(everyday.cone, color="orange", front=False),
    "cactus": Kind(everyday.cactus, color="green", front=False),
    "lamp": Kind(everyday.lamp, color="yellow", front=False),
    "mug": Kind(everyday.mug, color="white", stuff=_glossy, front=False),
    "tree": Kind(everyday.tree, color="green", front=False),
    "vase": Kind(everyday.vase, color="purple", stuff=_glossy, front=False),
}
"""Name => kind."""
