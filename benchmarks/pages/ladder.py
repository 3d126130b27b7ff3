"""Where the quality of an asset is lost, as measured by benchmarks/ladder.py: the page."""

from __future__ import annotations

from statistics import fmean

from benchmarks.pages import Results

MEANINGS = {
    "pixels": "Gaussians fitted to true pictures",
    "latents": "fitted to true latents, through the VAE's encoder",
    "oracle": "SCTD, the prediction under the prompt replaced by the truth",
    "distilled": "SCTD as in the preset",
}


def markdown(results: Results) -> str:
    """The page."""
    rows = list(results["assets"].values())
    rungs = [rung for rung in MEANINGS if any(row["rung"] == rung for row in rows)]
    seeds = len({row["seed"] for row in rows})
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))

    def cell(rung: str, prompt: str | None = None) -> str:
        own = [r for r in rows if r["rung"] == rung and prompt in (None, r["prompt"])]
        return f"{fmean(r['psnr'] for r in own):.1f} / {fmean(r['iou'] for r in own):.2f}" if own else ""

    sampled, denoised = results["sampled"], results["denoised"]
    kinds = len(next(iter(sampled.values())))
    lines = [
        "# Where the quality of an asset is lost",
        "",
        f"`python -m benchmarks.ladder --page docs/ladder.md`: {len(prompts)} prompts, {seeds} seed(s),",
        "eight views against the truth; PSNR in dB / IoU of the silhouettes. What the difference of two",
        "rungs says is in `benchmarks/ladder.py`.",
        "",
        "| rung | mean |",
        "|---|---|",
        *(f"| {rung}: {MEANINGS[rung]} | {cell(rung)} |" for rung in rungs),
        "",
        f"| prompt | {' | '.join(rungs)} |",
        f"|---|{'---|' * len(rungs)}",
        *(f"| {prompt} | {' | '.join(cell(rung, prompt) for rung in rungs)} |" for prompt in prompts),
        "",
        f"The prior's own samples, {kinds} kinds from eight sides, against the truth of the same camera:",
        "",
        "| guidance | PSNR, dB | worst kinds |",
        "|---|---|---|",
        *(f"| {w} | {fmean(kinds.values()):.2f} | {_worst(kinds)} |" for w, kinds in sampled.items()),
        "",
        "Root-mean-square error of the clean latents that it predicts from true latents with noise:",
        "",
        "| timestep | under the prompt | under '' | the latents' own spread |",
        "|---|---|---|---|",
        *(
            f"| {t} | {row['prompt']:.3f} | {row[chr(39) * 2]:.3f} | {row['spread']:.2f} |"
            for t, row in denoised.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _worst(kinds: dict[str, float], n: int = 4) -> str:
    return ", ".join(f"{kind} {value:.1f}" for kind, value in sorted(kinds.items(), key=lambda x: x[1])[:n])
