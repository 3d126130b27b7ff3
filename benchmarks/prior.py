"""Evaluates the shipped embedded prior and writes its model card.

    python -m benchmarks.prior --page docs/embedded_prior.md

600 prompts with guidance are sampled and shown to the recogniser; the page has the figures, the training
curves, a grid of every kind from four views, and a grid of evaluated samples. Needs matplotlib:
`pip install sctd[bench]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.pages import pictures_of
from benchmarks.pages.embedded_prior import markdown
from sctd.embedded.evaluation import evaluate_prior
from sctd.embedded.overview import overview
from sctd.embedded.sample import save_grid
from sctd.embedded.weights import read_card, write_card


def curves(card: dict[str, Any], path: Path) -> None:
    """Losses of the trainings over their steps, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    trainings = card["training"]
    figure, axes = plt.subplots(1, len(trainings), figsize=(11, 3), layout="constrained", squeeze=False)
    for axis, (name, run) in zip(axes[0], trainings.items(), strict=True):
        axis.plot(*zip(*run["losses"], strict=True))
        axis.set(title=f"{name}: {run['seconds'] / 60:.0f} min", xlabel="step", ylabel="loss", yscale="log")
        axis.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=110)


def main(
    page: Annotated[Path, typer.Option(help="Markdown page to write.")] = Path("docs/embedded_prior.md"),
    samples: Annotated[int, typer.Option(min=28, help="Prompts to evaluate.")] = 600,
) -> None:
    """Evaluate, draw, write."""
    pictures = pictures_of(page)
    scores, _prompts, images = evaluate_prior(samples)
    write_card({"evaluation": scores})
    save_grid(images[:168], pictures / "prior-samples.png", 14)
    overview(pictures / "prior-kinds.png")
    curves(read_card(), pictures / "prior-curves.png")
    page.write_text(markdown(read_card()), encoding="utf-8")
    typer.echo(", ".join(f"{name} {value:.3g}" for name, value in scores.items()))


if __name__ == "__main__":
    typer.run(main)
