"""Quality of the embedded preset, as measured by benchmarks/quality.py: the page."""

from __future__ import annotations

from benchmarks.pages import Results

MEANINGS = {
    "iou": "IoU of silhouettes",
    "azimuth": "best match among all azimuths is within 45 degrees (kinds with a front)",
    "kind": "views whose kind the recogniser names",
    "color": "views whose colour the recogniser names",
    "psnr": "PSNR, dB",
}
BARS = {"iou": 0.92, "azimuth": 0.98, "kind": 0.90, "color": 0.90, "psnr": 25}
SECONDS = 100


def markdown(results: Results) -> str:
    """The page."""
    mean, ball, rows = results["summary"], results["ball"], results["assets"]
    seeds = len({row["seed"] for row in rows})
    missed = [MEANINGS[name] for name, bar in BARS.items() if mean[name] < bar]
    alone = results["jobs"] == 1
    missed += ["seconds of generation"] * (alone and mean["seconds"] > SECONDS)
    seconds = ("", f"<= {SECONDS}") if alone else (f", {results['jobs']} at once with a thread each", "")
    smeared = sorted({row["prompt"] for row in rows if row["front"] and row["psnr"] < row["psnr_average"]})
    average = f"above {mean['psnr_average_front']:.2f}, the truth's azimuth-average"
    lines = [
        "# Quality of the embedded preset",
        "",
        f"`python -m benchmarks.quality --seeds {seeds} --jobs {results['jobs']} --page docs/quality.md`:",
        f"{len(rows)} assets, {seeds} seed(s),",
        f"{len(rows) // seeds} prompts drawn with a fixed seed, none of them used for tuning.",
        "What is measured and why: `sctd/embedded/truth.py`. Seconds: wall time, whatever else ran.",
        "",
        "| mean over assets | measured | bar | undistilled ball |",
        "|---|---|---|---|",
        *(f"| {MEANINGS[k]} | {mean[k]:.3f} | >= {bar:g} | {ball[k]:.3f} |" for k, bar in BARS.items()),
        f"| PSNR on kinds with a front, dB | {mean['psnr_front']:.2f} | {average} | |",
        f"| seconds of generation{seconds[0]} | {mean['seconds']:.0f} | {seconds[1]} | |",
        "",
        f"Below its bar: {'; '.join(missed)}." if missed else "Every bar is met.",
        f"With a front, and below the azimuth-average of their truth: {', '.join(smeared) or 'none'}.",
        "",
        "Each pair of rows: the procedural truth, then the asset, from eight azimuths.",
        "",
        *(f"![assets of seed {seed}](pictures/quality-seed{seed}.png)" for seed in range(seeds)),
        "",
        "| prompt | seed | IoU | PSNR | average's PSNR | azimuth right | kind | colour | s |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['prompt']} | {r['seed']} | {r['iou']:.2f} | {r['psnr']:.1f} | {r['psnr_average']:.1f} | "
            f"{r['azimuth']:.2f}{'' if r['front'] else ' (no front)'} | {r['kind']:.2f} | {r['color']:.2f} | "
            f"{r['seconds']:.0f} |"
            for r in rows
        ),
        "",
    ]
    return "\n".join(lines)
