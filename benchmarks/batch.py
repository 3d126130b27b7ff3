"""Assets an hour: one command after another, together with 1, 2, 4 and 8 in flight, and in two processes.

    python -m benchmarks.batch --page docs/batch_speed.md

Every cell makes the same assets of the embedded world with fresh processes. "Cold" is the whole command;
"warm" leaves out start and loading, up to the first run folder. Rounds go through all cells in turn, so that
a slower hour of the machine meets all of them. Then batch_simulation.py replays the measured times.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import batch_simulation
from benchmarks.pages import batch_speed, pictures_of, save
from sctd import suites
from sctd.bench.machine import facts
from sctd.bench.timing import busy_seconds
from sctd.config import load_config
from sctd.machine.cores import usable_cores
from sctd.names import slug

CALL = [sys.executable, "-c", "from sctd_cli.main import main; main()"]
SETTINGS = ["--prior=embedded", "--device=cpu", "--set=output.turntable_frames=0"]


@dataclass
class Cell:
    """One way to make the assets, and how long it took, a number a round."""

    name: str
    processes: int
    in_flight: int
    """Of each process; 0: sctd generate for one asset after the other."""
    cold_s: list[float] = field(default_factory=list)
    warm_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    """Of the processes, user and system."""
    busy_s: list[float] = field(default_factory=list)
    """CPU seconds of all programs on the machine in the same time; the excess over cpu_s is others' work."""


def cells() -> list[Cell]:
    """The ways to compare."""
    together = [Cell(f"batch, {k} in flight", 1, k) for k in (1, 2, 4, 8)]
    return [Cell("generate, one after another", 1, 0), *together, Cell("2 processes, 4 in flight each", 2, 4)]


def run_round(cell: Cell, prompts: Sequence[str], steps: int, folder: Path) -> None:
    """Make all assets in the cell's way, once."""
    started, wall, cpu, busy = time.time(), time.perf_counter(), os.times(), busy_seconds()
    if cell.in_flight == 0:
        warm = _one_after_another(prompts, steps, folder)
    else:
        warm = _batches(cell, prompts, steps, folder, started)
    cell.cold_s.append(time.perf_counter() - wall)
    cell.warm_s.append(warm)
    after = os.times()
    cell.cpu_s.append(after[2] + after[3] - cpu[2] - cpu[3])  # of children that have ended
    cell.busy_s.append(((busy_seconds() or 0.0) - busy) if busy is not None else float("nan"))


def _one_after_another(prompts: Sequence[str], steps: int, folder: Path) -> float:
    total = 0.0
    for seed, prompt in enumerate(prompts):
        out = folder / str(seed)
        options = [f"--seed={seed}", f"--steps={steps}", f"--out={out}", *SETTINGS]
        _wait([subprocess.Popen([*CALL, "generate", prompt, *options], **_quiet())])
        total += float(_log(out)[-1]["seconds"])
    return total


def _batches(cell: Cell, prompts: Sequence[str], steps: int, folder: Path, started: float) -> float:
    """Lists of equal length, one a process; the cores are shared out."""
    threads = str(max(1, usable_cores() // cell.processes))
    running = []
    for k in range(cell.processes):
        share = [(seed, p) for seed, p in enumerate(prompts) if seed % cell.processes == k]
        file = folder / f"{k}.jsonl"
        file.write_text("".join(json.dumps({"prompt": p, "seed": seed}) + "\n" for seed, p in share))
        options = [f"--out={folder / str(k)}", f"--steps={steps}", f"--assets-in-flight={cell.in_flight}"]
        env = {**os.environ, "OMP_NUM_THREADS": threads, "SCTD_NUM_THREADS": threads}
        command = [*CALL, "batch", str(file), *options, *SETTINGS]
        running.append(subprocess.Popen(command, env=env, **_quiet()))
    _wait(running)
    ended = time.time()
    configs = [path.stat().st_mtime for path in folder.glob("*/*/config.yaml")]
    return ended - max(started, min(configs))


def _quiet() -> dict[str, Any]:
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}


def _wait(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, err = process.communicate()
        if process.returncode:
            raise SystemExit(f"a command failed: {err.strip().splitlines()[-1]}")


def _log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same_assets(folders: dict[str, Path], prompts: Sequence[str]) -> bool:
    """Whether every cell with all cores in one process made the same bits."""

    def bits(folder: Path, seed: int, prompt: str) -> bytes:
        names = [folder / str(seed), folder / "0" / f"{slug(prompt)}-seed{seed}"]
        return (
            next(path for path in names if (path / "asset.ply").exists()).joinpath("asset.ply").read_bytes()
        )

    return all(
        len({bits(folder, seed, prompt) for folder in folders.values()}) == 1
        for seed, prompt in enumerate(prompts)
    )


def measure(assets: int, steps: int, rounds: int, say: Callable[[str], None]) -> tuple[list[Cell], bool]:
    """All cells, each in every round; and whether assets agree to the bit across them."""
    prompts = suites.prompts("embedded")[:assets]
    load_config("embedded", prompt=prompts[0], iterations=steps)  # refuses steps before hours are spent
    found, same = cells(), True
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="sctd-batch-") as name:
            folders = {}
            for index, cell in enumerate(found):
                folder = Path(name) / str(index)
                folder.mkdir()
                run_round(cell, prompts, steps, folder)
                say(f"round {number + 1}, {cell.name}: {cell.cold_s[-1]:.1f} s, warm {cell.warm_s[-1]:.1f} s")
                if cell.processes == 1:
                    folders[cell.name] = folder
            same = same and same_assets(folders, prompts)
    return found, same


def main(
    assets: Annotated[int, typer.Option(min=8, help="Assets of each cell.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Iterations of each.")] = 350,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    page: Annotated[Path | None, typer.Option(help="Markdown page; JSON and picture go beside it.")] = None,
) -> None:
    """Measure, simulate, and write down both."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    found, same = measure(assets, steps, rounds, say)
    best = next(cell for cell in found if cell.in_flight == 8)
    costs = batch_simulation.measured_costs(statistics.median(best.warm_s) / assets * 350 / steps)
    results = {
        "command": {"assets": assets, "steps": steps, "rounds": rounds},
        "machine": facts(),
        "same_bits": same,
        "cells": [asdict(cell) for cell in found],
        "costs": asdict(costs),
        "simulation": [asdict(point) for point in batch_simulation.sweep(costs)],
    }
    print(batch_speed.table(results))
    if page is not None:
        save(page, results, batch_speed.markdown)
        batch_speed.draw(results, pictures_of(page) / "batch_speed.png")
    if not same:
        raise SystemExit("assets differ between the cells")


if __name__ == "__main__":
    typer.run(main)
