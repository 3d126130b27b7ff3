"""``sctd bench generate``: a whole short run, from the prompt to the pictures, in its own process."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sctd
from sctd.bench.machine import facts
from sctd.bench.memory import call_child, peak_mb
from sctd.bench.options import RunOptions, Say
from sctd.bench.report import Row
from sctd.config import load_config
from sctd.run.report import Silent

LOOP = "optimising"
"""The pipeline's stage of the iterations; the others are loading and writing."""


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Options of ``sctd bench generate``."""

    repeats: int = 1
    threads: int | None = None


def run(options: Options, say: Say) -> list[Row]:
    """One row for the whole process and one for each stage.

    Raises:
        InputError: a prompt or setting that cannot be used.
        SctdError: a run failed.
    """
    config = load_config(prompt=options.prompt, iterations=options.steps, overrides=options.overrides)
    machine = facts(options.threads)
    runs = []
    for number in range(options.repeats):
        say(f"run {number + 1} of {options.repeats}: {options.steps} steps")
        with tempfile.TemporaryDirectory(prefix="sctd-bench-") as folder:
            task = {"config": config.to_yaml(), "out": str(Path(folder) / "run"), "threads": options.threads}
            began = time.perf_counter()
            found = call_child(__name__, task)
            found["wall"]["whole process"] = time.perf_counter() - began
            runs.append(found)
    rows = []
    for stage in runs[0]["wall"]:
        wall = [1e3 * found["wall"][stage] for found in runs]
        cpu = [1e3 * found["cpu"][stage] for found in runs]
        values: dict[str, float | None] = {}
        if stage == LOOP:
            values["iterations_per_s"] = 1e3 * options.steps / sorted(wall)[len(wall) // 2]
        elif stage == "whole process":
            values["peak_mb"] = max(found["peak_mb"] for found in runs)
        rows.append(
            Row(
                suite="generate",
                cell=f"{config.prior}, {options.steps} steps",
                measure=stage,
                provider="sctd",
                version=sctd.__version__,
                device_class="cpu",
                settings={
                    **options.as_settings,
                    "native_threads": machine["native_threads"],
                    "torch_threads": machine["torch_threads"],
                    "cache": "cold process, files as the system has them",
                },
                machine=machine,
                wall_ms=wall,
                cpu_ms=cpu,
                values=values,
            )
        )
    return rows


class _Stages(Silent):
    """A reporter of the pipeline that notes when each stage begins."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._name = "starting"
        self._last = (time.perf_counter(), time.process_time())

    def stage(self, name: str) -> None:
        now = (time.perf_counter(), time.process_time())
        for times, before, after in zip((self.wall, self.cpu), self._last, now, strict=True):
            times[self._name] = times.get(self._name, 0.0) + after - before
        self._name, self._last = name, now


def main() -> None:
    """The child process."""
    stages = _Stages()
    task: dict[str, Any] = json.loads(sys.argv[1])
    from sctd.pipeline import generate

    facts(task["threads"])
    out = Path(task["out"])
    file = out.with_name("settings.yaml")
    file.write_text(task["config"], encoding="utf-8")
    generate(load_config(file=file), out, report=stages)
    stages.stage("end")
    cpu = {**stages.cpu, "whole process": time.process_time()}
    found = {"wall": stages.wall, "cpu": cpu, "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(found) + "\n")
