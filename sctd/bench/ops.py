"""``sctd bench ops``: the fused diffusion ops and Adam beside plain torch, against the memory's bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import sctd
from sctd import ops
from sctd.bench.machine import facts
from sctd.bench.peaks import Peaks, measure_peaks
from sctd.bench.report import Row
from sctd.bench.timing import Measured, Plan, interleave, spread
from sctd.errors import InputError

Say = Callable[[str], None]

BACKENDS = ("cpu", "reference")
# Latents of a batch of four in the embedded prior and in Stable Diffusion, and tensors larger than any cache.
SHAPES: dict[str, tuple[int, ...]] = {
    "4x4x16x16": (4, 4, 16, 16),
    "4x4x64x64": (4, 4, 64, 64),
    "16M": (4, 4, 1024, 1024),
}


@dataclass(frozen=True)
class Op:
    """An op on tensors of one shape and levels [B]."""

    call: Callable[[list[Tensor], Tensor, str], tuple[Tensor, ...]]
    """(inputs, level, backend) => outputs."""
    inputs: int
    """Number of input tensors."""
    traffic: int
    """Tensors that it must read and write, each once, at least: the GB/s column counts these."""


def _noise(x: list[Tensor], a: Tensor, backend: str) -> tuple[Tensor, ...]:
    return (ops.noise(x[0], x[1], a, 1 - a, backend=backend),)


def _ode_step(x: list[Tensor], a: Tensor, backend: str) -> tuple[Tensor, ...]:
    return (ops.ode_step(x[0], x[1], a, 1 - a, a * a, 1 - a * a, backend=backend),)


def _cfg(x: list[Tensor], a: Tensor, backend: str) -> tuple[Tensor, ...]:
    levels = [(p, 1 - p) for p in (a, a * a, a * a * a)]
    return ops.cfg_ode_steps(x[0], x[1], x[2], 7.5, levels[0], levels[1], levels[2], backend=backend)


def _residual(x: list[Tensor], a: Tensor, backend: str) -> tuple[Tensor, ...]:
    return ops.sctd_residual(x[0], x[1], x[2], a, 7.5, backend=backend)


def _adam(x: list[Tensor], a: Tensor, backend: str) -> tuple[Tensor, ...]:
    group = ops.AdamGroup(*x)
    schedule = ops.adam_schedule([1e-3], step=10, beta1=0.9, beta2=0.99)
    ops.adam_step_([group], schedule, beta1=0.9, beta2=0.99, eps=1e-15, backend=backend)
    return group.param, group.exp_avg, group.exp_avg_sq


OPS = {
    "noise": Op(_noise, 2, 3),
    "ode_step": Op(_ode_step, 2, 3),
    "cfg_ode_steps": Op(_cfg, 3, 6),
    "sctd_residual": Op(_residual, 3, 4),
    "adam": Op(_adam, 4, 7),
}


def make_inputs(op: Op, shape: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """Tensors from N(0, 1), the fourth squared as a second moment must be; levels between 0 and 1."""
    g = torch.Generator().manual_seed(0)
    inputs = [torch.randn(*shape, generator=g) for _ in range(op.inputs)]
    if op.inputs == 4:
        inputs[3].square_()
    return inputs, torch.rand(shape[0], generator=g) * 0.8 + 0.1


def error(op: Op, inputs: list[Tensor], level: Tensor, backend: str) -> float:
    """Largest |x - x64| over largest |x64| of an output, on copies of the inputs."""
    exact = op.call([x.double() for x in inputs], level.double(), "reference")
    found = op.call([x.clone() for x in inputs], level, backend)
    return max(
        float((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-300))
        for a, b in zip(found, exact, strict=True)
    )


@dataclass(frozen=True)
class Options:
    """Options of ``sctd bench ops``."""

    backend: str = "cpu"
    names: Sequence[str] = tuple(OPS)
    shapes: Sequence[str] = tuple(SHAPES)
    threads: int | None = None
    plan: Plan = field(default_factory=lambda: Plan(seconds=2.0))


def run(options: Options, say: Say) -> list[Row]:
    """Every op in every shape; ``reference`` is plain torch, the op's definition.

    Raises:
        InputError: an unknown backend, op or shape.
    """
    for what, given, known in (
        ("--backend", [options.backend], BACKENDS),
        ("--ops", options.names, tuple(OPS)),
        ("--shapes", options.shapes, tuple(SHAPES)),
    ):
        if unknown := [name for name in given if name not in known]:
            raise InputError(f"{what} takes {', '.join(known)}; got {unknown[0]!r}")
    machine = facts(options.threads)
    say("measuring the machine's peaks")
    peaks = measure_peaks()
    machine |= peaks.as_facts()
    backends = {"sctd": options.backend, "reference": "reference"}
    if options.backend == "reference":
        del backends["sctd"]
    rows = []
    for shape in options.shapes:
        for name in options.names:
            say(f"{name} {shape}")
            rows += _measure(name, shape, backends, options.plan, machine, peaks)
    return rows


def _measure(
    name: str, shape: str, backends: dict[str, str], plan: Plan, machine: dict[str, Any], peaks: Peaks
) -> list[Row]:
    """A row for each provider; a wrong one is not timed."""
    op = OPS[name]
    inputs, level = make_inputs(op, SHAPES[shape])
    plain = error(op, inputs, level, "reference")
    # The largest of thousands of elements with few roundings each, which no luck makes small: at most twice
    # that, and four roundings.
    allowed = 2 * plain + 4 * torch.finfo(torch.float32).eps
    errors = {p: error(op, inputs, level, backend) for p, backend in backends.items()}
    calls = {p: _caller(op, inputs, level, backends[p]) for p, found in errors.items() if found <= allowed}
    measured = interleave(calls, plan) if calls else None
    rows = []
    for provider, found in errors.items():
        row = Row(
            suite="ops",
            cell=shape,
            measure=name,
            provider=provider,
            version=sctd.__version__ if provider == "sctd" else torch.__version__,
            device_class="cpu",
            settings={
                "backend": backends[provider],
                "native_threads": machine["native_threads"],
                "torch_threads": machine["torch_threads"],
                "cache": plan.describe(),
            },
            machine=machine,
            values={"error": found if found < float("inf") else None, "error_allowed": allowed},
            status="wrong",
            note=f"error {found:.1e}, at most {allowed:.1e} is allowed",
        )
        if measured is not None and provider in calls:
            row = _timed(row, measured, 4 * op.traffic * inputs[0].numel(), peaks)
        rows.append(row)
    return rows


def _timed(row: Row, measured: Measured, traffic: int, peaks: Peaks) -> Row:
    """The row with its times; ``traffic`` in bytes."""
    samples = measured.samples[row.provider]
    rate = traffic / (spread(samples.wall_ms).p50 / 1e3)
    values = {
        **row.values,
        "bytes_per_s": rate,
        "memory_share": rate / peaks.bytes_per_s,
        "others_cores": measured.others_cores,
    }
    times = {"wall_ms": samples.wall_ms, "cpu_ms": samples.cpu_ms, "values": values}
    return row.model_copy(update={"status": "ok", "note": "", **times})


def _caller(op: Op, inputs: list[Tensor], level: Tensor, backend: str) -> Callable[[], object]:
    own = [x.clone() for x in inputs]
    return lambda: op.call(own, level, backend)
