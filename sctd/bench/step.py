"""``sctd bench step``: the time of a training step of the embedded prior, by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sctd
from sctd.bench.machine import facts
from sctd.bench.options import RunOptions, Say
from sctd.bench.report import Row, Setting
from sctd.bench.stages import OVERHEAD, PRIOR_STAGES, STAGES, StageClock, instrumented
from sctd.bench.timing import Samples, busy_seconds
from sctd.config import Config, load_config
from sctd.machine.allocator import keep_freed_memory
from sctd.prior import load_prior
from sctd.stages import STEP
from sctd.trainer import Trainer

PRIOR, REST = "network and VAE", "everything else"


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Options of ``sctd bench step``."""

    steps: int = 40
    """Measured steps, from a run's beginning."""
    warmup: int = 10
    """Unmeasured steps before them."""
    threads: int | None = None


def run(options: Options, say: Say) -> list[Row]:
    """A row for each stage, for both shares, and for the whole step.

    Raises:
        InputError: a prompt or setting that cannot be used.
    """
    machine = facts(options.threads)
    # as many iterations as the preset has: they set learning rates and the range of noise levels
    config = load_config(prompt=options.prompt, overrides=options.overrides)
    say("loading the prior")
    prior = load_prior(config.prior, "cpu")
    keep_freed_memory()  # as a run does
    trainer = Trainer(config, prior)
    say(f"{options.warmup} steps to warm up")
    for _ in range(options.warmup):
        trainer.step()
    say(f"{options.steps} steps")
    measured, others = measure(trainer, options.steps)
    return rows_of(measured, others, options, config, machine)


def measure(trainer: Trainer, steps: int) -> tuple[dict[str, Samples], float | None]:
    """Make steps of a trainer => samples by stage, one a step, and the cores that others kept busy."""
    clock = StageClock()
    samples = {stage: Samples() for stage in (STEP, *STAGES, PRIOR, REST)}
    busy, began = busy_seconds(), clock.now()
    with instrumented(trainer, clock):
        for _ in range(steps):
            trainer.step()
            wall, cpu = clock.take()
            for times in (wall, cpu):
                times[OVERHEAD] = times.pop(STEP, 0.0)  # the step's own time is that outside all stages
                times[PRIOR] = sum(times.get(stage, 0.0) for stage in PRIOR_STAGES)
                times[STEP] = sum(times.get(stage, 0.0) for stage in STAGES)
                times[REST] = times[STEP] - times[PRIOR]
            for stage, own in samples.items():
                own.add(wall.get(stage, 0.0), cpu.get(stage, 0.0))
    now, end = busy_seconds(), clock.now()
    others = None
    if busy is not None and now is not None:
        others = max(0.0, now - busy - (end[1] - began[1])) / (end[0] - began[0])
    return samples, others


def rows_of(
    measured: dict[str, Samples],
    others: float | None,
    options: Options,
    config: Config,
    machine: dict[str, Any],
) -> list[Row]:
    """Shares are those of sums over all steps: a stage of every second step would have no fair median."""
    settings: dict[str, Setting] = {
        **options.as_settings,
        "steps": options.steps,
        "warmup": options.warmup,
        "cameras": config.cameras.batch,
        "native_threads": machine["native_threads"],
        "torch_threads": machine["torch_threads"],
        "cache": "as in a run: steps follow each other",
    }
    whole = measured[STEP]
    rows = []
    for stage, samples in measured.items():
        values: dict[str, float | None] = {
            "mean_wall_ms": sum(samples.wall_ms) / options.steps,
            "mean_cpu_ms": sum(samples.cpu_ms) / options.steps,
            "wall_share": sum(samples.wall_ms) / sum(whole.wall_ms),
            "cpu_share": sum(samples.cpu_ms) / max(sum(whole.cpu_ms), 1e-9),
            "others_cores": others,
        }
        rows.append(
            Row(
                suite="step",
                cell=f"{config.prior}, {config.cameras.batch}x{config.cameras.size} px",
                measure=stage,
                provider="sctd",
                version=sctd.__version__,
                device_class="cpu",
                settings=settings,
                machine=machine,
                wall_ms=samples.wall_ms,
                cpu_ms=samples.cpu_ms,
                values=values,
            )
        )
    return rows
