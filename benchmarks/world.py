"""Contact sheets of the rich world's truth: every kind from four sides, and the forty prompts of Table 1.

    python -m benchmarks.world --out /tmp/sheets

To be looked at: a kind that an unprepared person does not recognise is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.embedded.pictures import FOV_DEG
from sctd.embedded.sample import ELEVATION_DEG, GREY, save_grid
from sctd.embedded.world import world_named
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject, Thing
from sctd.embedded.worlds.rich.table1 import PROMPTS

RADIUS = 2.9  # nearer than the trainer's cameras: to look at
TURN = 2  # of 32 steps: the first side is a little from the left
COLORS = 255  # of the reduced sheet


def sides(subject: Subject, n: int, size: int) -> Tensor:
    """The subject from n of 32 sides, [n, 3, size, size], the first a little from its left."""
    cameras = orbit_cameras(32, ELEVATION_DEG, RADIUS, FOV_DEG, size).over(torch.full((32, 3), GREY))
    which = torch.arange(n) * (32 // n) + TURN
    return world_named("rich").truth(subject, cameras[which], size)[0]


def sheet(subjects: Iterable[Subject], n: int, size: int, columns: int, path: Path) -> None:
    """n sides of each subject beside each other, ``columns`` subjects a row."""
    save_grid(torch.cat([sides(subject, n, size) for subject in subjects]), path, columns * n)


def main(
    out: Annotated[Path, typer.Option(help="Folder for the two sheets.")],
    size: Annotated[int, typer.Option(min=16, help="Of a side, pixels.")] = 96,
) -> None:
    """Draw kinds.png (four sides each) and table1.png (two sides each, 256 colours or fewer)."""
    out.mkdir(parents=True, exist_ok=True)
    sheet((Subject(Thing(kind)) for kind in KINDS), 4, size, 4, out / "kinds.png")
    world = world_named("rich")
    path = out / "table1.png"
    rows = [sides(world.check_prompt(prompt), 2, size) for prompt in PROMPTS]  # type: ignore[arg-type]
    save_grid(torch.cat(rows), path, 10)
    picture = Image.open(path)
    assert np.asarray(picture).shape[1] == 10 * size
    picture.quantize(COLORS).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
