"""``sctd analyze``: curves and histograms from the logs of runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from sctd.run.claims import made_folder

from . import inputs


def analyze(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures and CSV.  [default: analysis; none with --csv alone]"),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="File for the curves as CSV; the histograms go beside it. Needs no matplotlib."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Draw self- against cross-consistency of runs, and their timesteps and segments; prints the paths."""
    from sctd.extras import need_matplotlib
    from sctd.run.read_back import find_runs, read_run

    if out is None and csv is None:
        out = Path("analysis")
    pictures = [] if out is None else [out / "curves.png", out / "histograms.png"]
    if csv is not None:
        tables = [csv, csv.with_name(f"{csv.stem}-histograms{csv.suffix}")]
    else:
        tables = [path.with_suffix(".csv") for path in pictures]
    if pictures:
        need_matplotlib("sctd analyze --out")
    found = [read_run(folder) for folder in find_runs(runs)]
    inputs.check_new_files([*pictures, *tables], overwrite=overwrite)

    from sctd.analysis import curves

    with ExitStack() as folders:
        for path in (*pictures, *tables):
            folders.enter_context(made_folder(path.parent))
        if pictures:
            from sctd.analysis import plot

            plot.plot_curves(found, pictures[0])
            plot.plot_histograms(found, pictures[1])
        curves.write_curves(tables[0], [c for run in found for c in curves.curves(run)])
        curves.write_histograms(tables[1], [h for run in found for h in curves.histograms(run)])
    for path in (*pictures, *tables):
        typer.echo(path)
