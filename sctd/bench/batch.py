"""``sctd bench batch``: assets an hour, with one whole run after another and with several side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sctd
from sctd.bench.machine import facts
from sctd.bench.memory import call_child
from sctd.bench.options import RunOptions, Say
from sctd.bench.report import Row
from sctd.config import Config, load_config
from sctd.errors import InputError
from sctd.machine.cores import usable_cores


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Options of ``sctd bench batch``."""

    repeats: int = 1
    """Rounds for each number of processes; a round makes one asset a process."""
    processes: Sequence[int] = (1, 2)


def run(options: Options, say: Say) -> list[Row]:
    """One row for each number of processes; the cores are shared out among them.

    Raises:
        InputError: a prompt, setting or number of processes that cannot be used.
        SctdError: a run failed.
    """
    if not options.processes or min(options.processes) < 1 or max(options.processes) > 256:
        raise InputError(f"--processes takes numbers in 1..256; got {list(options.processes)}")
    config = load_config(prompt=options.prompt, iterations=options.steps, overrides=options.overrides)
    return [_row(config, options, count, say) for count in dict.fromkeys(options.processes)]


def _row(config: Config, options: Options, count: int, say: Say) -> Row:
    threads = max(1, usable_cores() // count)
    rounds = []
    for number in range(options.repeats):
        say(f"{count} at once, round {number + 1} of {options.repeats}: {options.steps} steps each")
        rounds.append(_round(config, count, threads))
    wall, cpu, peak = zip(*rounds, strict=True)
    return Row(
        suite="batch",
        cell=f"{config.prior}, {options.steps} steps",
        measure=f"{count} at once",
        provider="sctd",
        version=sctd.__version__,
        device_class="cpu",
        settings={
            **options.as_settings,
            "processes": count,
            "threads_each": threads,
            "cache": "cold processes, files as the system has them",
        },
        machine=facts(),
        wall_ms=[1e3 * seconds / count for seconds in wall],
        cpu_ms=[1e3 * seconds / count for seconds in cpu],
        values={
            "assets_per_hour": 3600 * count / sorted(wall)[len(wall) // 2],
            "peak_mb": max(peak),
        },
    )


def _round(config: Config, count: int, threads: int) -> tuple[float, float, float]:
    """Seconds from the first start to the last end, CPU seconds of all, MB of all at their peaks."""
    with tempfile.TemporaryDirectory(prefix="sctd-bench-") as folder:
        tasks = [
            {"config": config.to_yaml(), "out": str(Path(folder) / str(i) / "run"), "threads": threads}
            for i in range(count)
        ]
        for task in tasks:
            Path(str(task["out"])).parent.mkdir()
        began = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            found: list[dict[str, Any]] = list(
                pool.map(lambda task: call_child("sctd.bench.generate", task), tasks)
            )
        wall = time.perf_counter() - began
    return wall, sum(f["cpu"]["whole process"] for f in found), sum(f["peak_mb"] for f in found)
