"""Makes an embedded prior from nothing: scenes, autoencoder, text encoder and UNet, recogniser, card.

Each stage writes a file to the run folder and resumes where it stopped. Seeds make the stages repeatable for
a given number of threads and processes, except an interrupted diffusion stage, whose pool of encoded
pictures fills again.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from sctd.embedded.captions import write_tokenizer
from sctd.embedded.data import open_views, trace_blocks
from sctd.embedded.diffusion import Batches, train_diffusion
from sctd.embedded.evaluation import evaluate_prior
from sctd.embedded.growth import grown
from sctd.embedded.latents import Lessons
from sctd.embedded.networks import TextAndUNet, load_networks
from sctd.embedded.recogniser import EXAMINED, measured_accuracy, save_recogniser, train_recogniser
from sctd.embedded.sample import save_grid
from sctd.embedded.together import Member, in_step
from sctd.embedded.traced import SIZE, TracedViews
from sctd.embedded.training import CPU, Length, Report, read_facts
from sctd.embedded.vae import load_vae, train_vae
from sctd.embedded.weights import write_card
from sctd.embedded.world import World, world_named, world_of
from sctd.errors import InputError
from sctd.machine.allocator import keep_freed_memory
from sctd.run.claims import LOCK

_MARK, _PICTURE = "training.json", "evaluation.png"
_STAGES = ("vae", "diffusion", "recogniser")
_FILES = (*(f"{stage}.safetensors" for stage in _STAGES), _PICTURE, _MARK)
_FOLDERS = ("data", "tokenizer", "vae", "weights", "weights.tmp", "recogniser", "examination")


@dataclass(frozen=True)
class Recipe:
    """Lengths and sizes of the training."""

    blocks: int = 75
    """Of traced views."""
    size: int = SIZE
    """Of a traced view, pixels; others than SIZE are for tests."""
    vae: Length | None = field(default_factory=lambda: Length(steps=3_000))
    """None keeps the autoencoder of the weights that a training starts from."""
    diffusion: Length = field(default_factory=lambda: Length(steps=40_000))
    batches: Batches | None = None
    """None: by device."""
    recogniser: Length = field(default_factory=lambda: Length(steps=3_000))
    scenes: float = 1.0
    """Share of the scenes that the world gives its recogniser."""
    samples: int = 600
    """Of the evaluation."""


RECIPES = {
    # 16,800 views, 600 of every kind, 2.2 GB
    "small": Recipe(),
    # 102,400 views of 25,600 subjects, 7.5 GB
    "rich": Recipe(
        blocks=400,
        vae=Length(steps=6_000),
        diffusion=Length(steps=120_000),
        recogniser=Length(steps=12_000),
    ),
}
"""By world."""


@dataclass(frozen=True)
class Start:
    """Where a training begins."""

    world: World
    folder: Path
    """Of the run."""
    weights: Path | None
    """Of an earlier training, for example weights.FOLDER; None: from nothing."""
    seed: int

    def tokenizer(self) -> CLIPTokenizer:
        """That of the weights if they know this world, else a new one for it."""
        if self.weights is not None and world_of(self.weights) is self.world:
            return CLIPTokenizer.from_pretrained(self.weights / "tokenizer")
        path = self.folder / "tokenizer"
        if not path.exists():
            write_tokenizer(path, self.world.every_caption(), self.world.text_length)
        return CLIPTokenizer.from_pretrained(path)

    def networks(self, tokenizer: CLIPTokenizer) -> TextAndUNet:
        """New ones, or those of the weights, grown to a tokenizer."""
        torch.manual_seed(self.seed)
        if self.weights is None:
            return TextAndUNet(tokenizer)
        _vae, known, model = load_networks(self.weights)
        return model if known.get_vocab() == tokenizer.get_vocab() else grown(model, known, tokenizer)

    def vae(
        self, views: TracedViews, length: Length | None, report: Report, device: torch.device
    ) -> AutoencoderKL:
        """A trained one, begun from that of the weights; without a length that of the weights itself."""
        begun = None if self.weights is None else load_vae(self.weights / "vae")
        if length is None:
            if begun is None:
                raise InputError(
                    "nothing to start from has an autoencoder; give the training of one a length"
                )
            return begun
        return train_vae(views, self.folder, self.seed, length, report, device, begun)


def main(
    folder: Path,
    seed: int = 1,
    resume: bool = False,
    report: Report | None = None,
    recipe: Recipe | None = None,
    start_from: Path | None = None,
    data: Path | None = None,
    device: torch.device = CPU,
    world: str | None = None,
    processes: int = 1,
) -> Path:
    """Train everything into ``folder`` (checkpoints, a sample grid, ``weights/``); returns the last.

    Args:
        folder: run folder. seed: of scenes, captions, noise and first weights.
        resume: continue the training in the folder; otherwise first remove the files of an earlier one.
        report: takes a line of progress; standard error by default.
        recipe: None: that of RECIPES, which keeps the autoencoder of ``start_from``.
        start_from: weights of an earlier training, perhaps in another world; its networks are trained on.
        data: folder of traced views, which may hold some already; None: ``folder``/data.
        device: of the training; the results are on the CPU.
        world: a name of world.WORLDS; None: that which the shipped weights know.
        processes: that share out each batch of the text encoder and the UNet, on a CPU.

    Raises:
        InputError: without ``resume``, the folder holds something, but no training; no world has this name;
            several processes on a GPU.
        TrainingFailure: one of several processes ended before the training.
        KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is saved where a stage has some.
    """
    if processes > 1 and device.type != "cpu":
        raise InputError(f"--processes {processes} shares out a CPU; leave it out with --device {device}")
    report = report or _to_stderr
    recipe = recipe or recipe_for(world, start_from)
    start = Start(_world(world), folder, start_from, seed)
    keep_freed_memory()
    if not resume:
        _remove_training(folder)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"world": start.world.name, "seed": seed, **asdict(recipe)}
    (folder / _MARK).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    data = data or folder / "data"
    tracing = start.world.tracing
    trace_blocks(tracing, data, recipe.blocks, seed, report, recipe.size)
    views = open_views(tracing, data)
    if device.type == "cuda":
        views = views.on(device)
    vae = start.vae(views, recipe.vae, report, device)
    start.tokenizer()  # written before other processes read it
    weights = folder / "weights"
    weights.mkdir(exist_ok=True)
    write_card({"world": start.world.name}, weights)  # of unfinished weights too
    with in_step(processes, partial(_train_beside, start, data, vae, recipe)) as member:
        _train_networks(start, views, vae, recipe, member, report, device)
    questions = start.world.questions
    recogniser = train_recogniser(questions, folder, recipe.recogniser, report, recipe.scenes, device)
    save_recogniser(recogniser, weights / "recogniser.safetensors")
    accuracy = measured_accuracy(recogniser, folder, report, recipe.scenes * EXAMINED)
    write_card({**_facts(folder, seed, len(views), processes), "recogniser": accuracy}, weights)
    scores, _prompts, images = evaluate_prior(recipe.samples, folder=weights, recogniser=recogniser)
    save_grid(images[:120], folder / _PICTURE, 12)
    write_card({"evaluation": scores}, weights)
    report(f"evaluation: {scores}")
    return weights


def _train_networks(
    start: Start,
    views: TracedViews,
    vae: AutoencoderKL,
    recipe: Recipe,
    member: Member,
    report: Report,
    device: torch.device = CPU,
) -> None:
    tokenizer = start.tokenizer()
    model, lessons = start.networks(tokenizer), Lessons(start.world, views, tokenizer, vae)
    length, batches = recipe.diffusion, recipe.batches
    train_diffusion(model, lessons, start.folder, start.seed, length, report, device, batches, member)


def _train_beside(start: Start, data: Path, vae: AutoencoderKL, recipe: Recipe, member: Member) -> None:
    """What a further process does."""
    keep_freed_memory()
    views = open_views(start.world.tracing, data)
    _train_networks(start, views, vae, recipe, member, lambda line: None)


def _world(name: str | None) -> World:
    return world_of() if name is None else world_named(name)


def recipe_for(world: str | None, start_from: Path | None) -> Recipe:
    """The recipe of a world, None: of that which the shipped weights know; one that starts from weights keeps
    their autoencoder.

    Raises:
        InputError: there is no such world.
    """
    recipe = RECIPES.get(_world(world).name, Recipe())
    return recipe if start_from is None else replace(recipe, vae=None)


def _remove_training(folder: Path) -> None:
    """Remove the files that a training writes, and no others: people put their own files beside them."""
    if not folder.is_dir() or all(path.name == LOCK for path in folder.iterdir()):
        return
    if not (folder / _MARK).is_file():
        raise InputError(f"will not overwrite {folder}: it is not the folder of a training (no {_MARK})")
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_suffix(".tmp").unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def _facts(folder: Path, seed: int, views: int, processes: int) -> dict[str, Any]:
    """The model card's facts: seed, versions, processes, steps, seconds and losses."""
    paths = {name: folder / f"{name}.safetensors" for name in _STAGES}
    return {
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "data": f"{views:,} views of {SIZE} pixels",
        "training": {name: read_facts(path) for name, path in paths.items() if path.exists()},
    }


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
