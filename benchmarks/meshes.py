"""Meshes of assets of the embedded world, against the procedural truth and beside the Gaussians.

    python -m benchmarks.meshes --out runs/meshes --page docs/mesh_quality.md

Prompts are those of benchmarks/quality.py, drawn with a fixed seed and used for no tuning, unless --prompt
names others. An asset that is in the folder already is not made again. Seconds are of the processor, all
threads together, so that they tell the same whatever else ran.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.mesh_measures import mesh_views, shape_of, true_cloud
from benchmarks.pages import Results, pictures_of, save
from benchmarks.pages.mesh_quality import markdown
from benchmarks.quality import Asked, made
from benchmarks.refine import refinement
from sctd.config.mesh import MeshSettings
from sctd.embedded.sample import save_grid
from sctd.embedded.subject import Subject
from sctd.embedded.truth import asset_views, psnr, truth_views
from sctd.embedded.world import world_of
from sctd.formats.table import MESH_WRITERS, read_gaussians
from sctd.mesh.extract import extract

VIEWS = 8
Row = dict[str, Any]


REFINED = ("fscore", "chamfer", "normal_deg", "psnr")
"""What is told of the mesh that refinement begins with and of the refined one, as in ``fscore_begun``."""


def measured(subject: Subject, asset: Path, wish: MeshSettings, refine: int) -> tuple[Row, torch.Tensor]:
    """The numbers of one asset, and its pictures in four rows: truth, Gaussians, mesh, refined mesh."""
    gaussians = read_gaussians(asset)
    began = time.process_time()
    made_of = extract(gaussians, wish)
    seconds = time.process_time() - began
    MESH_WRITERS[".glb"](asset.with_name("mesh.glb"), made_of.mesh)
    truth, own, views = (
        truth_views(subject, VIEWS)[0],
        asset_views(gaussians, VIEWS)[0],
        mesh_views(made_of.mesh, VIEWS),
    )
    solid, stages = true_cloud(subject), {}
    for name, extracted in refinement(str(subject), gaussians, refine):
        refined = mesh_views(extracted.mesh, VIEWS)
        numbers = asdict(shape_of(extracted.mesh, solid)) | {"psnr": float(psnr(refined, truth).mean())}
        stages |= {f"{key}_{name}": numbers[key] for key in REFINED}
    row = {
        "prompt": str(subject),
        **asdict(shape_of(made_of.mesh, solid)),
        "psnr_mesh": float(psnr(views, truth).mean()),
        "psnr_gaussians": float(psnr(own, truth).mean()),
        "psnr_between": float(psnr(views, own).mean()),
        "faces": len(made_of.mesh.faces),
        "open_edges": made_of.open_edges,
        "dropped": made_of.dropped.area,
        "unseen": made_of.unseen,
        "seconds": seconds,
        **stages,
    }
    return row, torch.stack((truth, own, views, refined))


def main(
    out: Annotated[Path, typer.Option(help="Folder of the assets and results.json.")] = Path("runs/meshes"),
    prompt: Annotated[list[str] | None, typer.Option(help="One instead of those drawn; repeated.")] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Drawn prompts, the first so many.")] = 12,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as of sctd generate.")
    ] = None,
    refine: Annotated[int, typer.Option(min=1, help="Iterations of the refinement.")] = 40,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write, with its pictures.")] = None,
) -> None:
    """Generate, make meshes, measure, and write down."""
    world = world_of()
    subjects = [world.check_prompt(text) for text in prompt] if prompt else world.evaluated()[:prompts]
    rows, pictures, wish = [], [], MeshSettings()
    for subject in subjects:
        asset, _, _ = made(Asked(str(subject), 0), out, settings or [])
        row, shown = measured(subject, asset, wish, refine)
        rows.append(row)
        pictures.append(shown[:, :: VIEWS // 4].flatten(0, 1))
        typer.echo(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items()))
    numbers = [key for key, value in rows[0].items() if not isinstance(value, str)]
    mean = {key: statistics.fmean(row[key] for row in rows) for key in numbers}
    results: Results = {"wish": wish.model_dump(), "refine": refine, "summary": mean, "assets": rows}
    (out / "results.json").write_text(json.dumps(results, indent=1))
    save_grid(torch.cat(pictures), out / "meshes.png", 16)
    if page is not None:
        save(page, results, markdown)
        save_grid(torch.cat(pictures), pictures_of(page) / "meshes.png", 16)


if __name__ == "__main__":
    typer.run(main)
