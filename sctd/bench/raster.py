"""``sctd bench raster``: the rasterizer on the common workload, beside its peers and the machine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sctd.bench import memory
from sctd.bench.check import Agreement, Job, Truth, agreement, make_truth, values_of
from sctd.bench.machine import facts
from sctd.bench.options import RasterOptions, Say
from sctd.bench.pairs import count_pairs
from sctd.bench.peaks import Peaks, measure_peaks
from sctd.bench.peers import Rasterizer, ours, peer
from sctd.bench.report import Row, Setting
from sctd.bench.timing import Plan, interleave, spread
from sctd.bench.workload import Cell, make_workload
from sctd.errors import InputError

SIMULATED = ("cuda-simt", "cuda-ptx")
BACKENDS = ("cpu", "reference", *SIMULATED)


@dataclass(frozen=True)
class Work:
    """The minimal work of a (pixel, Gaussian) pair and of a Gaussian, counted in the formulas of
    docs/conventions.md, section Blending; without comparisons, loads and lanes without a pair."""

    exps: int
    """Exponentials a pair."""
    multiply_adds: int
    """Additions, multiplications or both in one, a pair."""
    floats_per_gaussian: int
    """Read or written once, a Gaussian."""
    floats_per_pixel: int


# Forward: offset 2, exponent 5, alpha 2, weight 1, colours 3, transmittance 1. Backward: offset, exponent and
# alpha again 9, transmittance by division 3, d alpha 6, colour behind 6, d colour 4, d opacity 3, d conic and
# d mean 12; the 14 parameters and the picture with its alpha are read again, gradients read and written.
WORK = {"forward": Work(1, 14, 14, 4), "forward+backward": Work(2, 57, 42, 12)}


def run(options: RasterOptions, say: Say) -> list[Row]:
    """All cells, every contender checked first.

    Raises:
        InputError: an unknown backend or peer, or a peer that is not installed.
        BackendUnavailable: the backend cannot run here.
    """
    if options.backend not in BACKENDS:
        raise InputError(
            f"--backend is one of {', '.join(BACKENDS)}; got {options.backend!r} (no GPU is timed yet)"
        )
    rasterizers = [ours(options.backend), *(peer(name) for name in options.against)]
    names = [r.name for r in rasterizers]
    if len(set(names)) < len(names):
        raise InputError(f"--against names something twice, or what is measured anyway: {', '.join(names)}")
    machine = facts(options.threads)
    if options.backend in SIMULATED:
        from sctd.bench.simulated import count_cells

        return count_cells(options, machine, say)
    say("measuring the machine's peaks")
    peaks = measure_peaks()
    machine |= peaks.as_facts()
    rows: list[Row] = []
    for cell in options.cells:
        rows += _run_cell(cell, rasterizers, options, machine, peaks, say)
    return rows


def _run_cell(
    cell: Cell,
    rasterizers: Sequence[Rasterizer],
    options: RasterOptions,
    machine: dict[str, Any],
    peaks: Peaks,
    say: Say,
) -> list[Row]:
    say(f"{cell.name}: the float64 truth")
    scene = make_workload(cell.count, cell.size, options.cameras)
    pairs = count_pairs(scene)
    truth = make_truth(scene, pairs)
    own = values_of(truth, pairs)
    contenders = [Contender(r, cell, scene, truth, options, machine) for r in rasterizers]
    for contender in contenders:
        say(f"{cell.name}: checking {contender.rasterizer.name}")
        contender.check(truth)
    timed = [c for c in contenders if c.job is not None and c.fault is None]
    rows = {c.rasterizer.name: c.untimed_rows(own) for c in contenders}
    extra: dict[str, float | None] = {}
    for c in timed if options.memory else ():
        say(f"{cell.name}: memory of {c.rasterizer.name}")
        extra[c.rasterizer.name] = memory.extra_mb(c.rasterizer.name, cell, options)
    half = Plan(options.plan.seconds / 2, options.plan.repeats, options.plan.cache)
    for measure in WORK if timed else ():
        say(f"{cell.name}: timing {measure}")
        calls = {c.rasterizer.name: c.job.calls[measure] for c in timed if c.job is not None}
        measured = interleave(calls, half)
        for c in timed:
            samples = measured.samples[c.rasterizer.name]
            wall, cpu = ([t / options.cameras for t in s] for s in (samples.wall_ms, samples.cpu_ms))
            values = {
                **own,
                **c.errors(),
                **roofline(own["pairs_per_image"], cell, WORK[measure], peaks, spread(wall).p50),
                "extra_mb": extra.get(c.rasterizer.name),
                "others_cores": measured.others_cores,
            }
            rows[c.rasterizer.name].append(c.row(measure, wall_ms=wall, cpu_ms=cpu, values=values))
    return [row for own_rows in rows.values() for row in own_rows]


def roofline(
    pairs: float, cell: Cell, work: Work, peaks: Peaks, milliseconds: float
) -> dict[str, float | None]:
    """Pairs a second, and their shares of the machine's peaks.

    Args:
        pairs: contributing ones an image.
        milliseconds: an image.
    """
    per_second = pairs / (milliseconds / 1e3)
    floats = cell.count * work.floats_per_gaussian + cell.size**2 * work.floats_per_pixel
    return {
        "pairs_per_s": per_second,
        "exp_share": per_second * work.exps / peaks.exp_per_s,
        "fma_share": per_second * work.multiply_adds / peaks.fma_per_s,
        "memory_share": 4 * floats / (milliseconds / 1e3) / peaks.bytes_per_s,
    }


class Contender:
    """One rasterizer in one cell: runs, agrees and is then timed, or says why not."""

    def __init__(
        self,
        rasterizer: Rasterizer,
        cell: Cell,
        scene: dict[str, Any],
        truth: Truth,
        options: RasterOptions,
        machine: dict[str, Any],
    ) -> None:
        self.rasterizer, self.cell, self.machine = rasterizer, cell, machine
        self.settings: dict[str, Setting] = {
            "backend": options.backend if rasterizer.name == "sctd" else rasterizer.name,
            "cameras": options.cameras,
            "native_threads": machine["native_threads"],
            "torch_threads": machine["torch_threads"],
            "cache": options.plan.describe(),
        }
        self.agreement: Agreement | None = None
        self.job: Job | None = None
        self.status = "ok"
        self.fault: str | None = None
        """Why it is not timed."""
        most = rasterizer.most_products
        if most is not None and cell.count * cell.size**2 > most:
            self.status = "skipped"
            self.fault = f"{rasterizer.name} visits every pixel with every Gaussian: too many in {cell.name}"
        else:
            self.job = Job(rasterizer, scene, truth.weights)

    def check(self, truth: Truth) -> None:
        """Run it once; an exception of a peer is a finding, one of sctd is raised."""
        if self.job is None:
            return
        try:
            self.agreement = agreement(self.job, truth)
        except (RuntimeError, MemoryError) as exc:
            if self.rasterizer.name == "sctd":
                raise
            self.status, self.fault = "failed", " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
            return
        self.fault = self.agreement.fault(self.rasterizer.tolerance)
        if self.fault is not None:
            self.status = "wrong"

    def errors(self) -> dict[str, float | None]:
        """Measured and allowed errors."""
        if self.agreement is None:
            return {}
        allowed = self.rasterizer.tolerance
        found = {name: x if x < float("inf") else None for name, x in self.agreement.values().items()}
        return {**found, "image_allowed": allowed.image, "gradient_allowed": allowed.gradient}

    def row(self, measure: str, **found: Any) -> Row:
        """A row of this contender."""
        return Row(
            suite="raster",
            cell=self.cell.name,
            measure=measure,
            provider=self.rasterizer.name,
            version=self.rasterizer.version,
            device_class="cpu",
            settings=self.settings,
            machine=self.machine,
            **found,
        )

    def untimed_rows(self, own: dict[str, Any]) -> list[Row]:
        """Rows that say why there is no time; none where there will be one."""
        if self.fault is None:
            return []
        values = {**own, **self.errors()}
        return [self.row(measure, status=self.status, note=self.fault, values=values) for measure in WORK]
