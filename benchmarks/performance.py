"""Measures everything that docs/performance.md shows, and writes the page.

    python -m benchmarks.performance [--page docs/performance.md] [--seconds 8]

Seven minutes on two quiet cores, most of it the peer's. Each part is a command that anyone can run
alone; the page names it. Their reports stay in build/performance: --again writes the page from them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.pages import save
from benchmarks.pages.performance import markdown

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "performance"
PICTURES = ROOT / "docs" / "pictures"
CELLS = "1k@128,1k@256,1k@512,10k@128,10k@256,10k@512,100k@128,100k@256,100k@512"


def commands(seconds: float) -> dict[str, list[str]]:
    """Name of a report => the command that makes it."""
    sctd = [str(Path(sys.executable).with_name("sctd")), "bench"]
    return {
        "raster": [
            *(*sctd, "raster", "--cameras", "1", "--cells", CELLS, "--against", "gsplat"),
            *("--seconds", f"{seconds:g}", "--json", str(OUT / "raster.json")),
            *("--plot", str(PICTURES / "bench-raster.png")),
        ],
        "ops": [*sctd, "ops", "--json", str(OUT / "ops.json")],
        "step": [
            *(*sctd, "step", "--json", str(OUT / "step.json"), "--plot", str(PICTURES / "bench-step.png")),
        ],
        "scaling": [
            *(sys.executable, "-m", "benchmarks.scaling", "--json", str(OUT / "scaling.json")),
            *("--plot", str(PICTURES / "bench-scaling.png")),
        ],
    }


def shown(command: Sequence[str]) -> str:
    """The command as a person would type it."""
    words = [Path(word).name if word.startswith("/") else word for word in command]
    return " ".join("python" if word.startswith("python") else word for word in words)


def main(
    page: Annotated[
        Path | None, typer.Option(help="Markdown page; the numbers go beside it as JSON.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Budget of timing for each cell.")] = 8.0,
    again: Annotated[bool, typer.Option("--again", help="Use the reports of the last run.")] = False,
) -> None:
    """Measure, and print or write the page."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, command in commands(seconds).items():
        if not again:
            print(f"{name}: {shown(command)}", file=sys.stderr)
            subprocess.run(command, cwd=ROOT, check=True)
    results = {
        "commands": {name: shown(command) for name, command in commands(seconds).items()},
        "reports": {name: json.loads((OUT / f"{name}.json").read_text()) for name in commands(seconds)},
    }
    if page is None:
        print(markdown(results))
    else:
        save(page, results, markdown)
        shutil.copyfile(OUT / "raster.json", page.with_name("performance-raster.json"))


if __name__ == "__main__":
    typer.run(main)
