"""Evaluates the shipped embedded prior and writes its model card.

    python benchmarks/prior.py --page docs/embedded_prior.md

600 prompts with guidance are sampled and shown to the recogniser; the page has the figures, the training
curves, a grid of every kind from its five views, and a grid of evaluated samples. Needs matplotlib:
`pip install sctd[bench]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sctd.embedded.evaluation import evaluate_prior
from sctd.embedded.sample import load_sampler, save_grid
from sctd.embedded.train import overview
from sctd.embedded.weights import FOLDER, read_card, write_card
from sctd.embedded.words import SMALL

BARS = {"kind": 0.90, "color": 0.95, "view": 0.80}
MEANINGS = {"kind": "kind", "color": "colour", "pattern": "pattern", "view": "view, on kinds with a front"}


def curves(card: dict[str, Any], path: Path) -> None:
    """Losses of the three trainings over their steps, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
    for axis, (name, run) in zip(axes, card["training"].items(), strict=True):
        axis.plot(*zip(*run["losses"], strict=True))
        axis.set(title=f"{name}: {run['seconds'] / 60:.0f} min", xlabel="step", ylabel="loss", yscale="log")
        axis.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=110)


def write_page(page: Path, card: dict[str, Any]) -> None:
    """The model card as Markdown; its pictures lie in ``pictures/`` beside it."""
    measured, own, training = card["evaluation"], card["recogniser"], card["training"]
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) / 1e6
    pixels = load_sampler().traits.image_size
    command = f"python benchmarks/prior.py --page {page.as_posix()}"
    times = ", ".join(
        f"{k} {run['step']} steps in {run['seconds'] / 60:.0f} min" for k, run in training.items()
    )

    def row(key: str) -> str:
        bar = f">= {BARS[key]:.2f}" if key in BARS else ""
        return f"| {MEANINGS[key]} | {measured[key]:.3f} | {bar} | {own[key]:.3f} |"

    missed = [MEANINGS[key] for key, bar in BARS.items() if measured[key] < bar]
    verdict = f"Below its bar: {'; '.join(missed)}." if missed else "Every bar is met."

    text = f"""\
# Model card of the embedded prior

A latent diffusion model in Stable Diffusion's layout (AutoencoderKL, CLIP text encoder, UNet, v-prediction)
that draws one object at {pixels}x{pixels} pixels; {size:.1f} MB, float16 on disk. This page is written by
`{command}`.

## What it knows

- Kinds with a front: {", ".join(SMALL.kinds_with_front)}.
- Kinds that look alike all round: {", ".join(SMALL.kinds_without_front)}.
- Colours: {", ".join(SMALL.colors)}. Patterns: {", ".join(SMALL.patterns)}.
- Views: front, left side, right side, side, back, overhead. Synonyms and word orders:
  `sctd/embedded/words.py` and `captions.py`.

It knows nothing else, and prompts from outside are refused. It is for machines without a GPU, for tests and
for comparing losses; it is no substitute for a real text-to-image model. A richer world is built but not yet
learned: `docs/rich_world.md`.

## Data and training

Procedural scenes (`scenes.py`), traced here: {card["data"]};
plain grey backgrounds, light fixed to the world. No picture or text from outside went in. `sctd prior train`
makes it again from nothing.

Seed {card["seed"]}, torch {card["torch"]}, {card["threads"]} CPU threads: {times}
(wall time, on a machine that did other work too). {card.get("notes", "")}

![training curves](pictures/prior-curves.png)

## Evaluation

{measured["samples"]:.0f} samples, DDIM 25 steps, guidance {measured["guidance_scale"]:g}, judged by a
recogniser that was trained on separately seeded scenes.

| accuracy | samples of the prior | bar | the recogniser itself, on scenes it never saw |
|---|---|---|---|
{chr(10).join(row(key) for key in MEANINGS)}

{verdict}

Each row a kind: front, left, right, back, overhead, then three more captions with a front view.

![every kind](pictures/prior-kinds.png)

The first samples of the evaluation.

![samples](pictures/prior-samples.png)
"""
    page.write_text(text, encoding="utf-8")


def main(
    page: Annotated[Path, typer.Option(help="Markdown page to write.")] = Path("docs/embedded_prior.md"),
    samples: Annotated[int, typer.Option(min=28, help="Prompts to evaluate.")] = 600,
) -> None:
    """Evaluate, draw, write."""
    pictures = page.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    scores, _prompts, images = evaluate_prior(samples)
    write_card({"evaluation": scores})
    save_grid(images[:168], pictures / "prior-samples.png", 14)
    overview(FOLDER, pictures / "prior-kinds.png")
    curves(read_card(), pictures / "prior-curves.png")
    write_page(page, read_card())
    typer.echo(", ".join(f"{name} {value:.3g}" for name, value in scores.items()))


if __name__ == "__main__":
    typer.run(main)
