"""Kinds whose shapes the rich world takes over from the small one."""

from __future__ import annotations

import numpy as np

from sctd.embedded.scenes import PALETTE, SHAPES, scene_of
from sctd.embedded.worlds.rich.materials import CREAM, DARK, LEAF, LIGHT, STEEL, WINDOW, WOOD, Material, plain
from sctd.embedded.worlds.rich.sculpture import Frame, Sculpture

KINDS = (
    *("airplane", "chair", "house", "sofa", "truck", "snowman", "ball", "cactus", "cone", "cube"),
    *("donut", "ice cream", "lamp", "mug", "mushroom", "rocket", "table", "tree", "vase"),
)
_STUFF = {
    "dark": DARK,
    "light": LIGHT,
    "wood": WOOD,
    "cream": CREAM,
    "glass": WINDOW,
    "metal": STEEL,
    "leaf": LEAF,
}


def adopt(s: Sculpture, m: Material, kind: str) -> None:
    """Add a kind of the small world; ``m``: the material of its body."""
    scene, names = scene_of(kind), list(PALETTE)
    for shape, number, params, turn, center in zip(
        scene.shapes, scene.materials, scene.params, scene.rotations, scene.centers, strict=True
    ):
        name = SHAPES[shape]
        stuff = m if number < 0 else _STUFF.get(names[number], plain(PALETTE[names[number]], 0.1))
        with s.frame(Frame(np.asarray(center, np.float32), turn.T)):
            origin = (0.0, 0.0, 0.0)
            if name == "ellipsoid":
                s.ellipsoid(origin, (params[0], params[1], params[2]), stuff)
            elif name == "box":
                s.box(origin, (params[0], params[1], params[2]), stuff, rounding=params[3])
            elif name == "frustum":
                s.frustum(origin, params[0], params[1], params[2], stuff)
            elif name == "torus":
                s.torus(origin, params[0], params[1], stuff)
            elif name == "capsule":
                s.limb((0, -params[0], 0), (0, params[0], 0), params[1], stuff)
            else:
                s.prism(origin, (params[0], params[1], params[2]), stuff)
