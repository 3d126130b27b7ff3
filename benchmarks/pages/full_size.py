"""Stable Diffusion 2.1 at full size, as measured by benchmarks/full_size.py: the page."""

from __future__ import annotations

from typing import Any

from benchmarks.pages import Results
from sctd.bench.machine import describe
from sctd.bench.work import DEVICES
from sctd.stages import STEP

TOLERANCE = 0.15
"""Share by which the estimate of memory may be off."""
PAPER = {"iterations": 5000, "minutes": 32, "device": "A100 SXM", "evaluations": 20}
"""The publication's time of a run, and the images in an iteration's calls of the network."""

TITLE = """\
# Stable Diffusion 2.1 at full size, without its weights

Written by `python -m benchmarks.full_size --page docs/full_size.md`; every number is in `full_size.json`.
No GPU took part. The networks have the published shapes and random weights, so what is drawn means nothing;
shapes, memory, FLOPs and bytes are the real ones. Parameters: {parameters}.
Each iteration is checked, and there is no page if it fails: latents are 4 x 64 x 64, and they, their gradient
and that of every parameter of the Gaussians have their shapes, are finite and not zero.

Machine: {machine}.
"""
ITERATION = """
## One iteration on this machine

Preset sd21, method sctd, one camera of 512 pixels, {gaussians:,} Gaussians, networks in {dtype}, filled
in {loading:.0f} s. The iteration took {iteration}; other processes kept {others} cores busy meanwhile.
FLOPs and bytes are of one more iteration, with the same shapes.
"""
COUNTED = """
FLOPs are torch's count: two for each multiply-add of matrix products, convolutions and attention, nothing
for the rest. So the rasterizer and the optimiser have none here; `docs/kernels.md` counts their
instructions. Bytes: each operation reads its operands once and writes its results once, attention is one
operation; nothing stays in a cache. "Weights" are the frozen ones among the bytes. "Largest" is the resident
memory's high-water mark in the stage, above what the process held when the networks had no memory yet.
"""
MEMORY = """
## Memory against the estimate

`sctd/prior/card_memory.py` for the same config and {dtype}, beside the largest resident memory above the
start.

| | MB |
|---|---|
"""
MEMORY_END = """
The benchmark fails when one of the two sums is more than {tolerance:.0%} off. CUDA's own memory has no
counterpart on a CPU. What is lost between blocks has one: freed memory that the C library keeps instead of
returning it to the system, {freed:.0f} MB after the last iteration. The workspaces of
convolutions are not counted.
"""
BOUNDS = """
## What an iteration cannot be faster than

The preset's own iteration, four cameras of 512 pixels, 81,920 Gaussians, networks in float16, counted with
networks of shapes alone. **Bounds, not timings: nothing here ran on a card.** Peaks are the maker's data
sheets', dense float16 summed in float32 and memory:
{peaks}.
First number: the FLOPs alone at the peak of the tensor cores. Second: each operation a kernel of its own
that reads from memory and writes to it, at the larger of its FLOPs and its bytes; fused kernels can be
faster than the second number, none that computes these products than the first. Milliseconds.
"""
PAPERS = """
The publication reports {iterations} iterations in {minutes} minutes on an A100: {seconds:.2f} s each,
with {evaluations} images through the network. That is {first:.1f} times the first bound and
{second:.1f} times the second; its code, settings and card need not be what is counted here. At the
second bound {iterations} iterations would take {low}.
"""


def comparable_mb(of_memory: dict[str, Any]) -> dict[str, float]:
    """The parts of the estimate that exist on a CPU: all tensors, and the allocator's losses; no CUDA."""
    lines = of_memory["estimate_mb"]
    counted = sum(mb for name, mb in lines.items() if not name.endswith("(assumed)"))
    without = sum(mb for name, mb in lines.items() if not name.startswith("CUDA"))
    return {"all that is counted": counted, "with what is lost between blocks": without}


def markdown(found: Results) -> str:
    """The page of results of :func:`benchmarks.full_size.rehearse`, with machine, dtype and gaussians."""
    loading, last = found["loading"], found["iterations"][-1]
    others = "an unknown number of" if last["others_cores"] is None else f"{last['others_cores']:.1f}"
    parameters = ", ".join(f"{n / 1e6:.1f} M in the {part}" for part, n in found["parameters"].items())
    told = {
        "parameters": parameters.replace("unet", "UNet").replace("vae", "VAE").replace("_", " "),
        "machine": describe(found["machine"]),
        "gaussians": found["gaussians"],
        "dtype": found["dtype"],
        "loading": loading["wall_s"],
        "iteration": f"{sum(last['wall_s'].values()):.0f} s",
        "others": others,
        "tolerance": TOLERANCE,
        "freed": found["memory"]["freed_mb"],
        "peaks": "; ".join(
            f"{d.name} {d.flops_per_s / 1e12:.0f} TFLOPS, {d.bytes_per_s / 1e9:.0f} GB/s" for d in DEVICES
        ),
    }
    return "".join(
        (
            TITLE.format(**told),
            ITERATION.format(**told),
            _stages(found),
            COUNTED,
            MEMORY.format(**told),
            _memory(found["memory"]),
            MEMORY_END.format(**told),
            BOUNDS.format(**told),
            _bounds(found["preset"]),
            _paper(found["preset"]),
        )
    )


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _name(stage: str) -> str:
    return "the rest of the step" if stage == STEP else stage


def _total(stages: dict[str, dict[str, Any]], key: str) -> int:
    return sum(stage[key] for stage in stages.values())


def _stages(found: dict[str, Any]) -> str:
    """Seconds, FLOPs, bytes and memory by stage."""
    last, work, peaks = found["iterations"][-1], found["work"], found["memory"]["stages_mb"]
    rows = [
        [
            _name(stage),
            f"{last['wall_s'][stage]:.3f}",
            f"{last['cpu_s'][stage]:.3f}",
            *_counts(work[stage]),
            f"{peaks[stage]:.0f}",
        ]
        for stage in work
    ]
    whole = [f"{sum(last[clock].values()):.3f}" for clock in ("wall_s", "cpu_s")]
    totals = {key: _total(work, key) for key in ("operations", "flops", "bytes", "weights")}
    rows.append(["**together**", *whole, *_counts(totals), f"{found['memory']['peak_mb']:.0f}"])
    return _table(
        ["stage", "s", "CPU s", "operations", "GFLOP", "GB", "weights, GB", "largest, MB"],
        rows,
    )


def _counts(stage: dict[str, Any]) -> list[str]:
    numbers = (stage[key] / 1e9 for key in ("flops", "bytes", "weights"))
    return [str(stage["operations"]), *(f"{x:.2f}" if x else "0" for x in numbers)]


def _memory(memory: dict[str, Any]) -> str:
    """Rows of the estimate and of the measured memory."""
    peak = memory["peak_mb"]
    rows = [(f"estimated: {name}", f"{mb:.0f}") for name, mb in memory["estimate_mb"].items()]
    rows += [
        *(
            (f"**estimated: {name}**", f"**{mb:.0f}** ({mb / peak - 1:+.1%})")
            for name, mb in comparable_mb(memory).items()
        ),
        ("measured: networks loaded", f"{memory['loaded_mb']:.0f}"),
        ("**measured: largest**", f"**{peak:.0f}**"),
    ]
    return "".join(f"| {name} | {size} |\n" for name, size in rows)


def _bounds(stages: dict[str, dict[str, Any]]) -> str:
    """Milliseconds by stage and card."""
    rows = [
        [_name(stage), *_counts(found), *(_pair(found["bounds_s"][d.name]) for d in DEVICES)]
        for stage, found in stages.items()
    ]
    totals = {key: _total(stages, key) for key in ("operations", "flops", "bytes", "weights")}
    rows.append(["**together**", *_counts(totals), *(_pair(_bound(stages, d.name)) for d in DEVICES)])
    names = [device.name for device in DEVICES]
    return _table(["stage", "operations", "GFLOP", "GB", "weights, GB", *names], rows)


def _bound(stages: dict[str, dict[str, Any]], device: str) -> dict[str, float]:
    """Seconds of all stages."""
    return {
        kind: sum(stage["bounds_s"][device][kind] for stage in stages.values())
        for kind in ("arithmetic", "by_operation")
    }


def _pair(bound: dict[str, float]) -> str:
    return " / ".join(f"{1e3 * bound[kind]:.2f}" for kind in ("arithmetic", "by_operation"))


def _paper(stages: dict[str, dict[str, Any]]) -> str:
    seconds = 60 * PAPER["minutes"] / PAPER["iterations"]
    bound = _bound(stages, PAPER["device"])
    return PAPERS.format(
        **PAPER,
        seconds=seconds,
        first=seconds / bound["arithmetic"],
        second=seconds / bound["by_operation"],
        low=f"{bound['by_operation'] * PAPER['iterations'] / 60:.1f} minutes",
    )
