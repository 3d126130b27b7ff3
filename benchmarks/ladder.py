"""Where the quality of a distilled asset is lost: each rung replaces one part by the truth.

    python -m benchmarks.ladder --out runs/ladder --page docs/ladder.md

    pixels      Gaussians fitted to true pictures: the limit of cameras, optimiser and densification
    latents     fitted to the latents of true pictures: the cost of the VAE's encoder
    oracle      SCTD, predicting the same camera's truth under the prompt: the cost of the loss
    distilled   SCTD as in the preset: the cost of the network's prediction

Beside the rungs: the network's own samples from known cameras against the truth, and the error of the clean
latents that it predicts at true latents, by noise level. The prompts are of the world that the weights know,
and drawn apart from those of benchmarks/quality.py, since the ladder steers choices. Repeat an interrupted
command to continue it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks.pages import ladder as page_of
from benchmarks.pages import save
from sctd.cameras import Viewpoints
from sctd.config import Config, load_config
from sctd.embedded.pictures import FOV_DEG, RADIUS
from sctd.embedded.recogniser import Recogniser, load_recogniser
from sctd.embedded.sample import load_sampler, sample_latents, save_grid, views_all_round
from sctd.embedded.subject import Subject
from sctd.embedded.truth import asset_views, psnr, score_views, truth_from
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import World, world_of
from sctd.methods.base import Guidance
from sctd.prior.base import Prior, Timestep
from sctd.schedule import Schedule
from sctd.solver import add_noise, clean
from sctd.text import ViewTexts
from sctd.trainer import Trainer

SEED, PROMPTS, SEEDS, KINDS = 16, 8, 2, 28
LEVELS = (100, 300, 500, 700, 900)
GUIDANCE = (1.0, 2.0, 4.0, 7.5)
VIEWS, STEPS = 8, 20
Results = dict[str, Any]


def ladder_subjects(world: World, n: int) -> list[Subject]:
    """n subjects, none evaluated or for tuning, of n kinds."""
    others = [*world.evaluated(), *world.tuning()]
    found: dict[str, Subject] = {}
    for subject, *_ in world.samples(8 * n, SEED):
        if subject not in others:
            found.setdefault(subject.kind, subject)
    return list(found.values())[:n]


class Stand:
    """A prior with one part replaced; all others are the prior's own."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)


class Pixels(Stand):
    """Pictures are their own latents."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        size = prior.traits.image_size
        self.traits = replace(prior.traits, latent_shape=(3, size, size))

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> None:
        """None."""

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """The pictures."""
        return images


class Oracle(Stand):
    """Under every text but the two that guidance and inversion are without, it predicts the truth."""

    def __init__(self, prior: Prior, subject: Subject) -> None:
        super().__init__(prior)
        self._subject = subject
        self._levels = Schedule(prior.traits.alphas_cumprod)
        self._empty = prior.encode_text([""])
        self._truth = torch.empty(0)

    def encode_cameras(self, views: Viewpoints) -> Tensor | None:
        """The prior's own answer; the truth from these cameras is traced beside it."""
        self._truth = true_latents(self._prior, self._subject, views)
        return self._prior.encode_cameras(views)

    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """v of the truth where the text is a prompt, else the network's."""
        assert isinstance(t, int)
        assert self._prior.traits.prediction == "v_prediction"
        own = self._prior.predict(latents, t, embeddings, cameras)
        alpha, sigma = self._levels.level(t)
        truth = self._truth.repeat(len(latents) // len(self._truth), 1, 1, 1)
        v = (alpha * latents - truth) / sigma
        # The encoder's rounding hangs on how many texts it is given at once: equal, but for that, is empty.
        asked = (embeddings - self._empty).flatten(1).norm(dim=1) > 1e-3 * self._empty.norm()
        return torch.where(asked[:, None, None, None], v, own)


class ToTruth:
    """The method of the rungs without a network: straight towards the truth's latents."""

    def __init__(self, prior: Prior, subject: Subject) -> None:
        self._prior = prior
        self._subject = subject

    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """The difference of the latents: the gradient of half its square."""
        return Guidance(z0.detach() - true_latents(self._prior, self._subject, cameras))


@torch.no_grad()
def true_latents(prior: Prior, subject: Subject, views: Viewpoints) -> Tensor:
    """Of the traced subject, from the posterior's mean."""
    return prior.encode_images(truth_from(subject, views, prior.traits.image_size)[0])


def to_truth(config: Config, prior: Prior, subject: Subject) -> Trainer:
    """A trainer of the rung pixels or latents, as the prior is."""
    rule = config.regularisers.model_copy(update={"reconstruction": 0.0})
    trainer = Trainer(config.model_copy(update={"regularisers": rule}), prior)
    trainer.method = ToTruth(prior, subject)
    return trainer


RUNGS: dict[str, Callable[[Config, Any, Subject], Trainer]] = {
    "pixels": lambda config, prior, subject: to_truth(config, Pixels(prior), subject),  # type: ignore[arg-type]
    "latents": to_truth,
    "oracle": lambda config, prior, subject: Trainer(config, Oracle(prior, subject)),  # type: ignore[arg-type]
    "distilled": lambda config, prior, subject: Trainer(config, prior),
}


def climb(
    rung: str,
    prior: Prior,
    subject: Subject,
    seed: int,
    overrides: list[str],
    recogniser: Recogniser | None = None,
) -> tuple[Any, Tensor]:
    """Make an asset; its scores and its pictures all round."""
    size = f"cameras.size={prior.traits.image_size}"
    config = load_config("embedded", None, [size, *overrides], prompt=str(subject), seed=seed)
    trainer = RUNGS[rung](config, prior, subject)
    for _ in range(config.iterations):
        trainer.step()
    images, alpha = asset_views(trainer.gaussians.detach(), VIEWS, prior.traits.image_size)
    return asdict(score_views(images, alpha, subject, recogniser)), images


def sampled(
    prior: Prior, subjects: list[Subject], guidance: Sequence[float] = GUIDANCE, steps: int = STEPS
) -> dict[str, dict[str, float]]:
    """PSNR in dB of the prior's samples of each kind all round, by guidance and kind.

    A prior that is not told the background is compared over the one that it chose.
    """
    views = views_all_round(VIEWS)
    table: dict[str, dict[str, float]] = {f"{w:g}": {} for w in guidance}
    for subject in subjects:
        texts = texts_of(prior, subject).embeddings(views.azimuth, views.elevation)
        noise = torch.randn(VIEWS, *prior.traits.latent_shape, generator=torch.Generator().manual_seed(1))
        truth, coverage = truth_from(subject, views, prior.traits.image_size)
        for w, row in table.items():
            images = prior.decode(sample_latents(prior, texts, noise, steps, float(w), views)).clamp(0, 1)
            wanted = truth
            if not prior.traits.reads_cameras:
                chosen = images[..., 0, :].median(-1).values - views.background
                wanted = truth + (1 - coverage[:, None]) * chosen[..., None, None]
            row[subject.kind] = float(psnr(images, wanted).mean())
    return table


@torch.no_grad()
def denoised(prior: Prior, subjects: list[Subject]) -> dict[str, dict[str, float]]:
    """RMSE of the predicted clean latents at true latents with noise, under the prompt and '', by level.

    With the latents' own standard deviation under "spread".
    """
    schedule, generator = Schedule(prior.traits.alphas_cumprod), torch.Generator().manual_seed(SEED)
    squares: dict[str, dict[str, float]] = {}
    for subject in subjects:
        views = random_viewpoints(VIEWS, generator)
        z0 = true_latents(prior, subject, views)
        cameras, texts = prior.encode_cameras(views), texts_of(prior, subject)
        noise = torch.randn(z0.shape, generator=generator)
        prompts = {
            "prompt": texts.embeddings(views.azimuth, views.elevation),
            "''": texts.null.expand(VIEWS, -1, -1),
        }
        for t in LEVELS:
            z = add_noise(schedule, z0, noise, t)
            row = squares.setdefault(str(t), dict.fromkeys((*prompts, "spread"), 0.0))
            for name, text in prompts.items():
                guess = clean(schedule, z, prior.predict(z, t, text, cameras), t, prior.traits.prediction)
                row[name] += float((guess - z0).square().mean()) / len(subjects)
            row["spread"] += float(z0.var()) / len(subjects)
    return {t: {name: math.sqrt(value) for name, value in row.items()} for t, row in squares.items()}


def random_viewpoints(n: int, generator: torch.Generator) -> Viewpoints:
    """Within the ranges of the preset's cameras, over BACKGROUND-like greys."""
    azimuth, tilt, radius, grey = torch.rand(4, n, generator=generator)
    return Viewpoints(
        (2 * azimuth - 1) * math.pi,
        torch.deg2rad(53 * tilt - 8),
        RADIUS[0] + (RADIUS[1] - RADIUS[0]) * radius,
        torch.full((n,), math.radians(FOV_DEG)),
        (0.5 + 0.5 * grey)[:, None].expand(n, 3),
    )


def texts_of(prior: Prior, subject: Subject) -> ViewTexts:
    """As the preset encodes them."""
    config = load_config("embedded", prompt=str(subject))
    return ViewTexts.encode(prior, config.prompt, config.negative_prompt, config.views)


def main(
    out: Annotated[Path, typer.Option(help="Folder of ladder.json and the contact sheets.")] = Path(
        "runs/ladder"
    ),
    rungs: Annotated[
        str, typer.Option(help="Comma-separated, or empty; samples are always drawn.")
    ] = ",".join(RUNGS),
    prompts: Annotated[int, typer.Option(min=1, help="Number of prompts.")] = PROMPTS,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each prompt.")] = SEEDS,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as of sctd generate.")
    ] = None,
    kinds: Annotated[int, typer.Option(min=1, help="Kinds of the samples and errors.")] = KINDS,
    weights: Annotated[Path, typer.Option(help="Folder of the prior's weights.")] = FOLDER,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write.")] = None,
) -> None:
    """Climb every rung, sample, denoise, and write down."""
    out.mkdir(parents=True, exist_ok=True)
    path, prior = out / "ladder.json", load_sampler(weights)
    results: Results = json.loads(path.read_text()) if path.exists() else {"assets": {}}

    def keep() -> None:
        path.write_text(json.dumps(results, indent=1))

    world = world_of(weights)
    some = ladder_subjects(world, kinds)
    for name, measure in (("denoised", denoised), ("sampled", sampled)):
        if name not in results:
            results[name] = measure(prior, some)
            keep()
    subjects = ladder_subjects(world, prompts)
    recogniser = load_recogniser(weights) if rungs else None
    for rung in filter(None, rungs.split(",")):
        sheet = []
        for subject in subjects:
            for seed in range(seeds):
                key = f"{rung} {subject} {seed}"
                if key not in results["assets"]:
                    scores, images = climb(rung, prior, subject, seed, settings or [], recogniser)
                    results["assets"][key] = {"rung": rung, "prompt": str(subject), "seed": seed, **scores}
                    sheet.append(images)
                    keep()
                row = results["assets"][key]
                typer.echo(f"{key}: PSNR {row['psnr']:.1f} dB, IoU {row['iou']:.2f}")
        if sheet:
            save_grid(torch.cat(sheet), out / f"{rung}.png", VIEWS)
    if page is not None:
        save(page, results, page_of.markdown)


if __name__ == "__main__":
    typer.run(main)
