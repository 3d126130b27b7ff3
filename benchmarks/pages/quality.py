"""Quality of the embedded preset, as measured by benchmarks/quality.py: the page."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.pages import Results, header

MEANINGS = {
    "iou": "IoU of silhouettes",
    "azimuth": "best match among all azimuths is within 45 degrees (kinds with a front)",
    "kind": "views whose kind the recogniser names",
    "color": "views whose colour the recogniser names",
    "traits": "what the prompt says beside the kind, as the recogniser names it in the views",
    "psnr": "PSNR, dB",
}
BARS: Mapping[str, Mapping[str, float]] = {
    "drawn": {"iou": 0.92, "azimuth": 0.98, "kind": 0.90, "color": 0.90, "psnr": 25},
    "table1": {"kind": 0.90, "traits": 0.70},
}
"""By suite; what has no bar is shown without."""
SECONDS = 100


def markdown(results: Results) -> str:
    """The page, of the suites that were measured."""
    sections = [make(results[suite]) for suite, make in SECTIONS.items() if suite in results]
    suites = [suite for suite in SECTIONS if suite in results]
    drawn = results.get("drawn", {"assets": [{"seed": 0}]})
    seeds = len({row["seed"] for row in drawn["assets"]})
    jobs = results[suites[0]]["jobs"]
    command = f"--suite {','.join(suites)} --seeds {seeds} --jobs {jobs} --page docs/quality.md"
    lines = [
        "# Quality of the embedded preset",
        "",
        f"`python -m benchmarks.quality {command}`.",
        "What is measured and why: `sctd/embedded/truth.py`. Seconds: wall time, whatever else ran.",
        *(line for section in sections for line in ("", *section)),
        "",
    ]
    return "\n".join(lines)


def _drawn(results: Results) -> list[str]:
    mean, rows = results["summary"], results["assets"]
    seeds = len({row["seed"] for row in rows})
    alone = results["jobs"] == 1
    missed = below(results["bars"], mean)
    missed += ["seconds of generation"] * (alone and mean["seconds"] > SECONDS)
    seconds = ("", f"<= {SECONDS}") if alone else (f", {results['jobs']} at once with a thread each", "")
    smeared = sorted({row["prompt"] for row in rows if row["front"] and row["psnr"] < row["psnr_average"]})
    average = f"above {number(mean['psnr_average_front'], 2)}, the truth's azimuth-average"
    return [
        "## Drawn prompts",
        "",
        f"{len(rows)} assets, {seeds} seed(s), {len(rows) // seeds} prompts drawn with a fixed seed, none of",
        "them used for tuning.",
        "",
        *_means(results),
        f"| PSNR on kinds with a front, dB | {number(mean['psnr_front'], 2)} | {average} | |",
        f"| seconds of generation{seconds[0]} | {mean['seconds']:.0f} | {seconds[1]} | |",
        "",
        f"Below its bar: {'; '.join(missed)}." if missed else "Every bar is met.",
        f"With a front, and below the azimuth-average of their truth: {', '.join(smeared) or 'none'}.",
        "",
        "Each pair of rows: the procedural truth, then the asset, from eight azimuths.",
        "",
        *(f"![assets of seed {seed}](pictures/quality-drawn-seed{seed}.png)" for seed in range(seeds)),
        "",
        *header(
            *("prompt", "seed", "IoU", "PSNR", "average's PSNR", "azimuth right", "kind", "colour"),
            *(["said"] if "traits" in mean else []),
            "s",
        ),
        *(
            f"| {r['prompt']} | {r['seed']} | {r['iou']:.2f} | {r['psnr']:.1f} | {r['psnr_average']:.1f} | "
            f"{r['azimuth']:.2f}{'' if r['front'] else ' (no front)'} | {r['kind']:.2f} | "
            f"{number(r['color'], 2)} | {_said(r)}{r['seconds']:.0f} |"
            for r in rows
        ),
    ]


def _table1(results: Results) -> list[str]:
    bars, rows = results["bars"], results["assets"]
    missed = below(bars, results["summary"])
    failed = [row["prompt"] for row in rows if below(bars, row)]
    return [
        "## Table 1 of the paper",
        "",
        f"Its {len(rows)} prompts exactly as printed, seed 0. Training has not seen what they combine",
        "(`docs/rich_world.md`).",
        "",
        *_means(results),
        f"| seconds of generation | {results['summary']['seconds']:.0f} | | |",
        "",
        f"Below its bar: {'; '.join(missed)}." if missed else "Every bar is met.",
        f"{len(failed)} of {len(rows)} prompts are below a bar on their own; in the table they say so.",
        "",
        "Each prompt: the procedural truth, and below it the asset, from four azimuths.",
        "",
        "![truth and asset of every prompt of Table 1](pictures/quality-table1-seed0.png)",
        "",
        *header("prompt", "kind", "said", "colour", "IoU", "PSNR", "s", "below its bar"),
        *(
            f"| {r['prompt']} | {r['kind']:.2f} | {number(r['traits'], 2)} | {number(r['color'], 2)} | "
            f"{r['iou']:.2f} | {r['psnr']:.1f} | {r['seconds']:.0f} | "
            f"{', '.join({'traits': 'said'}.get(key, key) for key in bars if _misses(bars, r, key))} |"
            for r in rows
        ),
    ]


SECTIONS = {"drawn": _drawn, "table1": _table1}


def below(bars: Mapping[str, float], values: Mapping[str, float | None]) -> list[str]:
    """Meanings of the numbers that miss their bar; what was not asked misses none."""
    return [MEANINGS[key] for key in bars if _misses(bars, values, key)]


def number(value: float | None, digits: int) -> str:
    """For a table's cell; a dash where nothing was asked."""
    return "-" if value is None else f"{value:.{digits}f}"


def _misses(bars: Mapping[str, float], values: Mapping[str, float | None], key: str) -> bool:
    value = values[key]
    return value is not None and value < bars[key]


def _means(results: Results) -> list[str]:
    mean, ball, bars = results["summary"], results["ball"], results["bars"]
    rows = [
        (
            MEANINGS[key],
            number(mean[key], 3),
            f">= {bars[key]:g}" if key in bars else "",
            number(ball[key], 3),
        )
        for key in MEANINGS
        if key in mean
    ]
    return [
        *header("mean over assets", "measured", "bar", "undistilled ball"),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _said(row: Mapping[str, float | None]) -> str:
    return f"{number(row['traits'], 2)} | " if "traits" in row else ""
