"""What refinement does to the mesh of an asset of the embedded world, against the procedural truth.

    python -m benchmarks.refine runs/a-red-mushroom/asset.ply "a red mushroom" --steps 40 --picture made.png

prints a line for the Gaussians, for the mesh that refinement begins with, and for the refined one. The
picture has a row for the truth and for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.mesh_measures import mesh_views, shape_of, true_cloud
from sctd.config import load_config
from sctd.embedded.sample import save_grid
from sctd.embedded.truth import asset_views, psnr, truth_views
from sctd.embedded.world import world_of
from sctd.formats.table import read_gaussians
from sctd.gaussians import Gaussians
from sctd.mesh.extract import Extracted
from sctd.mesh.trained.finish import finished
from sctd.mesh.trained.start import first_mesh
from sctd.prior import prior_of
from sctd.trainer import Start, Trainer, random_streams

VIEWS = 8


def refinement(
    prompt: str, gaussians: Gaussians, steps: int, settings: Sequence[str] = ()
) -> Iterator[tuple[str, Extracted]]:
    """The mesh that refinement begins with, and the refined one, by name."""
    config = load_config(
        "embedded", None, ["representation=mesh", *settings], prompt=prompt, iterations=steps
    )
    first = first_mesh(gaussians, config.surface)
    trainer = Trainer(config, prior_of(config), start=Start(first, random_streams(config.seed)))
    for name, until in (("begun", 0), ("refined", steps)):
        while trainer.iteration < until:
            trainer.step()
        yield name, finished(trainer.result, config.mesh)


def main(
    asset: Annotated[Path, typer.Argument(help="asset.ply of a run with the embedded prior.")],
    prompt: Annotated[str, typer.Argument(help="Its prompt.")],
    steps: Annotated[int, typer.Option(min=1, help="Iterations of the refinement.")] = 100,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as of sctd generate.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help=".png to write.")] = None,
) -> None:
    """Refine, measure, and show."""
    torch.set_num_threads(1)
    subject, gaussians = world_of().check_prompt(prompt), read_gaussians(asset)
    truth, solid = truth_views(subject, VIEWS)[0], true_cloud(subject)
    rows = [truth, asset_views(gaussians, VIEWS)[0]]
    typer.echo(f"Gaussians: PSNR {float(psnr(rows[1], truth).mean()):.2f}")
    for name, made in refinement(prompt, gaussians, steps, settings or []):
        shape, views = shape_of(made.mesh, solid), mesh_views(made.mesh, VIEWS)
        rows.append(views)
        typer.echo(
            f"{name}: PSNR {float(psnr(views, truth).mean()):.2f}, F {shape.fscore:.3f}, "
            f"Chamfer {shape.chamfer:.2%}, normals {shape.normal_deg:.1f} degrees; {made.told()}"
        )
    if picture is not None:
        save_grid(torch.cat(rows), picture, VIEWS)


if __name__ == "__main__":
    typer.run(main)
