"""How fast batches are, measured by benchmarks/batch.py: the page and its picture."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.pages import Results
from sctd.bench.machine import describe


def table(results: Results) -> str:
    """Every cell: seconds, assets an hour, and the share of the two baselines."""
    assets, cells = results["command"]["assets"], results["cells"]
    median = {(c["name"], kind): statistics.median(c[kind]) for c in cells for kind in ("cold_s", "warm_s")}
    alone = median[cells[0]["name"], "cold_s"]
    warm = median[cells[1]["name"], "warm_s"]
    lines = [
        "| | cold, s | of generate's | warm, s | of 1 in flight | assets an hour | CPU s | others' CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in cells:
        cold, own = median[c["name"], "cold_s"], median[c["name"], "warm_s"]
        cpu, busy = statistics.median(c["cpu_s"]), statistics.median(c["busy_s"])
        numbers = (
            f"{cold:.0f} | {cold / alone:.2f} | {own:.0f} | {own / warm:.2f} | {3600 * assets / cold:.0f}"
        )
        lines.append(f"| {c['name']} | {numbers} | {cpu:.0f} | {max(0.0, busy - cpu):.0f} |")
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """The page."""
    command, costs = results["command"], results["costs"]
    told = "agree" if results["same_bits"] else "DO NOT AGREE"
    options = " ".join(f"--{name} {value}" for name, value in command.items())
    lines = [
        "# How fast batches are",
        "",
        f"    python -m benchmarks.batch {options} --page docs/batch_speed.md",
        "",
        f"{command['assets']} prompts of the suite `embedded`, {command['steps']} iterations each, no",
        f"turntable; medians of {command['rounds']} round(s). Cold: the whole command. Warm: without",
        "start and loading, from the first run folder on; for `generate` the loops alone. The assets",
        "of all cells in one process",
        f"{told} to the bit.",
        "",
        describe(results["machine"]) + ".",
        "",
        table(results),
        "",
        "## Many workers, simulated",
        "",
        "No cluster of this size took part. `benchmarks/batch_simulation.py` replays these costs:",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in costs.items()),
        "",
        "`asset_s` and `coordinator_s` were measured here, the others are assumptions, which the code",
        "explains. Each batch has 40 assets for each that is in flight.",
        "",
        "| workers | assets | hours | efficiency | coordinator busy | store busy | deaths |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {p['workers']} | {p['assets']} | {p['hours']:.2f} | {p['efficiency']:.2f} "
            f"| {p['coordinator_busy']:.0%} | {p['store_busy']:.0%} | {p['deaths']} |"
            for p in results["simulation"]
        ),
        "",
        "![the simulation](pictures/batch_speed.png)",
        "",
    ]
    return "\n".join(lines)


def draw(results: Results, path: Path) -> None:
    """Efficiency and the busy shares over the number of workers, with the assumptions beside them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points, costs = results["simulation"], results["costs"]
    figure, (axes, notes) = pyplot.subplots(1, 2, figsize=(10, 4.5), width_ratios=[3, 1.4])
    workers = [p["workers"] for p in points]
    for key in ("efficiency", "coordinator_busy", "store_busy"):
        axes.plot(workers, [p[key] for p in points], marker="o", label=key.replace("_", " "))
    axes.set_xscale("log", base=2)
    axes.set_xticks(workers, [str(w) for w in workers])
    axes.set(xlabel="workers (simulated)", ylabel="share", ylim=(0, 1.05), title="Simulation, no cluster")
    axes.legend()
    axes.grid(alpha=0.3)
    notes.axis("off")
    measured = ("asset_s", "coordinator_s")
    text = [f"{k} = {v:.4g}{' (measured)' if k in measured else ''}" for k, v in costs.items()]
    notes.text(0, 1, "costs\n" + "\n".join(text), va="top", family="monospace", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
