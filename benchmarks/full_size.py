"""Runs real iterations with Stable Diffusion 2.1 base's own architecture and random weights, on a CPU.

    python -m benchmarks.full_size [--page docs/full_size.md] [--dtype bfloat16] [--iterations 1]

A rehearsal of a run on a GPU, without a GPU and without 2.6 GB of weights: the whole trainer with the
preset sd21, one camera of 512 pixels. Shapes and gradients are checked, memory is compared with the estimate
of sctd/prior/card_memory.py, and seconds, FLOPs and bytes are booked by stage. Then the preset's own
iteration, four cameras in float16, is counted with networks that have shapes and no numbers: the bounds for
cards.

Takes 5 GB, 10 in float32. The networks are made in full_size_networks.py, the page in pages/full_size.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor, nn

from benchmarks.full_size_networks import Hollow, fill, read_shapes
from benchmarks.pages import save
from benchmarks.pages.full_size import TOLERANCE, comparable_mb, markdown
from sctd.bench.machine import facts
from sctd.bench.memory import give_back_mb, peak_mb, present_mb, reset_peak
from sctd.bench.stages import StageClock, instrumented
from sctd.bench.timing import busy_seconds
from sctd.bench.work import DEVICES, Operation, Work, bound
from sctd.config import Config, load_config
from sctd.errors import SctdError
from sctd.methods.base import Guidance
from sctd.prior import card_memory as memory
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.load.architectures import write_configs
from sctd.prior.load.parts import Parts, quiet
from sctd.prior.load.sources import NETWORKS
from sctd.representation import Term
from sctd.splats.trained import Splats
from sctd.trainer import Scalars, Trainer

PROMPT = "a DSLR photo of a corgi wearing a top hat"
LATENTS = (4, 64, 64)
"""Shape for a picture of 512 pixels, as published, independent of the code under test."""
NETWORK = "network"
Dtype = Literal["float32", "bfloat16"]

Say = Callable[[str], None]


class Watched(Trainer):
    """A trainer that checks the shapes and numbers in its step."""

    def __init__(self, config: Config, prior: DiffusersPrior, latents: tuple[int, ...]) -> None:
        """Takes the shape [C, h, w] that latents must have."""
        super().__init__(config, prior)
        self._latents = (config.cameras.batch, *latents)

    def step(self) -> Scalars:
        """Raises SctdError where the trainer would only skip the update."""
        scalars = super().step()
        if "offender" in scalars:
            raise SctdError(f"iteration {self.iteration - 1}: {scalars['offender']} is not finite")
        return scalars

    def _backward(
        self, rgb: Tensor, seen: tuple[Tensor, Tensor], guidance: Guidance, terms: list[Term]
    ) -> None:
        _expect("latents", seen[0], self._latents)
        _expect("their gradient", guidance.grad, self._latents)
        super()._backward(rgb, seen, guidance, terms)
        assert isinstance(self.asset, Splats)
        gradients = self.asset.optimiser.gradients()
        for name, parameter in self.gaussians.parameters().items():
            if parameter.numel():
                _expect(f"gradient of {name}", gradients.get(name), tuple(parameter.shape))


def _expect(what: str, x: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raises SctdError unless the tensor has the shape, is finite and not zero all over."""
    if x is None or tuple(x.shape) != shape:
        raise SctdError(f"{what}: expected shape {shape}, got {None if x is None else tuple(x.shape)}")
    if not bool(torch.isfinite(x).all()) or not bool(x.any()):
        raise SctdError(f"{what}: expected finite numbers and not only zeros")


class NumberedClock(StageClock):
    """Each call of the network is a stage of its own, and each stage has its largest resident memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.peaks: dict[str, float] = {}
        """MB."""

    def enter(self, stage: str) -> None:
        """See :class:`StageClock`."""
        self.calls += stage == NETWORK
        super().enter(f"{NETWORK}, call {self.calls}" if stage == NETWORK else stage)

    def _settle(self) -> None:
        if self.stage:
            self.peaks[self.stage] = max(peak_mb(), self.peaks.get(self.stage, 0.0))
        reset_peak()
        super()._settle()


@dataclass(frozen=True)
class Plan:
    """The rehearsal's settings."""

    folder: Path
    """A pipeline's configs in diffusers' layout; weights and tokenizer are not looked at."""
    config: Config
    """Of the real iterations."""
    preset: Config
    """Of the iteration that is counted for graphics cards."""
    dtype: torch.dtype
    """Of the networks in the real iterations."""
    latents: tuple[int, ...]
    """[C, h, w] that must come out."""
    iterations: int


def rehearse(plan: Plan, say: Say) -> dict[str, Any]:
    """Everything that the page shows but the machine; plain values for JSON.

    Raises:
        SctdError: a shape is wrong, or a number is not finite.
    """
    shapes = read_shapes(plan.folder, plan.dtype)  # loads libraries: their memory is not the networks'
    start = present_mb()
    reset_peak()
    began, cpu = time.perf_counter(), time.process_time()
    parts = fill(shapes, plan.config.seed)
    with quiet():
        prior = DiffusersPrior(parts, "random", torch.device("cpu"), plan.dtype, settings=plan.config.prior)
    loading = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    say(f"networks filled in {loading['wall_s']:.0f} s")
    trainer = Watched(plan.config, prior, plan.latents)
    loaded = present_mb() - start
    clock = NumberedClock()
    clock.peaks["loading"] = peak_mb()
    iterations = [_iteration(trainer, clock, say) for _ in range(plan.iterations)]
    say("one more iteration, counted")
    work = summary(count(trainer, parts, clock))
    freed = give_back_mb()
    say("the preset's iteration, counted without numbers")
    estimate = memory.estimate_memory(plan.config, plan.dtype)
    return {
        "loading": loading,
        "iterations": iterations,
        "memory": {
            "loaded_mb": loaded,
            "freed_mb": freed,
            "peak_mb": max(clock.peaks.values()) - start,
            "stages_mb": {stage: peak - start for stage, peak in clock.peaks.items()},
            "estimate_mb": {name: size / 1e6 for name, size in estimate.parts.items()},
        },
        "parameters": {name: sum(p.numel() for p in vars(parts)[name].parameters()) for name in NETWORKS},
        "work": work,
        "preset": summary(preset_iteration(plan.folder, plan.preset)),
    }


def _iteration(trainer: Trainer, clock: NumberedClock, say: Say) -> dict[str, Any]:
    """One step: seconds by stage, wall and of this process's threads, and its scalars."""
    clock.calls = 0
    busy, began, cpu = busy_seconds(), time.perf_counter(), time.process_time()
    with instrumented(trainer, clock):
        scalars = trainer.step()
    own, took = time.process_time() - cpu, time.perf_counter() - began
    others = None if busy is None else max(0.0, ((busy_seconds() or 0.0) - busy - own) / took)
    say(f"iteration {trainer.iteration}: {took:.1f} s")
    wall_s, cpu_s = clock.take()
    return {"wall_s": wall_s, "cpu_s": cpu_s, "others_cores": others, "scalars": scalars}


def count(trainer: Trainer, parts: Parts, clock: NumberedClock) -> list[Operation]:
    """The operations of one more step of a trainer."""
    clock.calls = 0
    with instrumented(trainer, clock), Work(clock, _weights(parts)) as work:
        trainer.step()
    return work.operations


def _weights(parts: Parts) -> list[Tensor]:
    networks: tuple[nn.Module, ...] = (parts.unet, parts.vae, parts.text_encoder)
    return [weight for network in networks for weight in network.parameters()]


def preset_iteration(folder: Path, config: Config) -> list[Operation]:
    """The operations of a config's iteration on a card, with networks of shapes alone."""
    dtype = memory.card_dtype(config)
    parts = read_shapes(folder, dtype)
    with quiet():
        prior = Hollow(parts, "shapes", memory.META, dtype, settings=config.prior)
    trainer = Trainer(config, prior)
    with memory.fused_attention():
        return count(trainer, parts, NumberedClock())


def summary(operations: list[Operation]) -> dict[str, dict[str, Any]]:
    """Totals by stage, in the order of their first operation."""
    stages: dict[str, list[Operation]] = {}
    for op in operations:
        stages.setdefault(op.stage, []).append(op)
    return {
        stage: {
            "operations": len(ops),
            "flops": sum(op.flops for op in ops),
            "bytes": sum(op.bytes for op in ops),
            "weights": sum(op.weights for op in ops),
            "bounds_s": {device.name: vars(bound(ops, device)) for device in DEVICES},
        }
        for stage, ops in stages.items()
    }


def check_estimate(found: dict[str, Any]) -> None:
    """Raises SctdError when the estimate of memory is off the measured one by more than TOLERANCE."""
    peak = found["memory"]["peak_mb"]
    for what, estimate in comparable_mb(found["memory"]).items():
        if abs(estimate / peak - 1) > TOLERANCE:
            raise SctdError(
                f"{what}: estimated {estimate:.0f} MB, measured {peak:.0f}: more than {TOLERANCE:.0%} apart; "
                "see sctd/prior/card_memory.py"
            )


def main(
    target: Annotated[Path | None, typer.Option("--page", help="Markdown page to write.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Element type of the networks.")] = "bfloat16",
    iterations: Annotated[int, typer.Option(min=1, help="Timed iterations; one more is counted.")] = 1,
    gaussians: Annotated[int, typer.Option(min=4, help="Number of Gaussians; the preset's: 81920.")] = 81920,
    threads: Annotated[int, typer.Option(min=1, help="Of torch and of the native code.")] = 2,
) -> None:
    """Rehearse, and print or write the page; beside it the numbers as JSON."""
    counts = (f"gaussians.count={gaussians}", f"densify.max_count={gaussians}")
    one = ("cameras.batch=1", "prior.attention=sdpa", *counts)
    config, preset = (
        load_config("sd21", prompt=PROMPT, device="cpu", overrides=settings) for settings in (one, one[1:2])
    )
    with TemporaryDirectory(prefix="sctd-") as name:
        folder = write_configs(Path(name), "sd2")
        plan = Plan(folder, config, preset, getattr(torch, dtype), LATENTS, iterations)
        machine = facts(threads)
        found = rehearse(plan, lambda text: print(text, file=sys.stderr))
    found |= {"machine": machine, "dtype": dtype, "gaussians": gaussians}
    check_estimate(found)
    if target is None:
        print(markdown(found))
    else:
        save(target, found, markdown)


if __name__ == "__main__":
    typer.run(main)
