"""The cost of a viewer for a run: the same iterations with and without `sctd view`, in turn.

    python -m benchmarks.view --rounds 5 --steps 60

Each run is a fresh process on this machine; the time is that of its loop without the first iterations,
from log.jsonl. The viewer is a process on the same cores, without a browser, which people have on their own
screen: what it would draw with is not measured here. Bound for `sctd generate --view`: 3 %.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from sctd.run.folder import LOG, read_log

CALL = [sys.executable, "-c", "from sctd_cli.main import main; main()"]
QUIET = ["--set=output.turntable_frames=0", "--set=output.contact_views=0", "--set=output.page=false"]
FIRST = 10
"""Iterations that are left out: caches are cold, and the viewer is still loading torch."""


def seconds_of(folder: Path, steps: int, watched: bool, options: list[str]) -> float:
    """Seconds an iteration of one run."""
    run = folder / f"{'watched' if watched else 'alone'}-{time.monotonic_ns()}"
    generate = [
        *CALL,
        "generate",
        "a red mushroom",
        "--steps",
        str(steps),
        "--out",
        str(run),
        *QUIET,
        *options,
    ]
    viewer = None
    with subprocess.Popen(generate, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while watched and process.poll() is None and not (run / LOG).exists():
            time.sleep(0.05)
        if watched:
            command = [*CALL, "view", str(run), "--port", "8190"]
            viewer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert viewer.stdout is not None
            viewer.stdout.readline()  # its address: from now on it watches
        began = len(read_log(run / LOG)) if watched else 0
    if viewer is not None:
        viewer.terminate()
        viewer.wait()
    rows = [row for row in read_log(run / LOG) if int(row["iteration"] or 0) >= max(FIRST, began)]
    if process.returncode != 0 or len(rows) < 2:
        raise SystemExit(f"view: too few iterations were watched; give more than --steps {steps}")
    return (float(rows[-1]["seconds"] or 0) - float(rows[0]["seconds"] or 0)) / (len(rows) - 1)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Pairs of runs.")] = 5,
    steps: Annotated[int, typer.Option(min=20, help="Iterations of each run.")] = 60,
    option: Annotated[list[str] | None, typer.Option(help="More options of `sctd generate`.")] = None,
) -> None:
    """See the module's docstring."""
    ratios = []
    with tempfile.TemporaryDirectory(prefix="sctd-view-") as name:
        for k in range(rounds):
            order = (False, True) if k % 2 == 0 else (True, False)  # a slower hour meets both
            times = {watched: seconds_of(Path(name), steps, watched, option or []) for watched in order}
            ratios.append(times[True] / times[False])
            print(f"alone {times[False]:.3f} s, watched {times[True]:.3f} s an iteration: {ratios[-1]:.3f}")
    print(f"median of {rounds}: {100 * (statistics.median(ratios) - 1):+.1f} %")


if __name__ == "__main__":
    typer.run(main)
