"""Makes the embedded prior from nothing: scenes, autoencoder, text encoder and UNet, recogniser, card.

Each stage writes a file to the run folder and resumes where it stopped. Seeds make the stages repeatable for
a given number of threads, except an interrupted diffusion stage, whose pool of encoded pictures fills again.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

from sctd.embedded.captions import base_caption, every_caption, with_view, write_tokenizer
from sctd.embedded.data import BLOCK, open_views, trace_blocks
from sctd.embedded.diffusion import train_diffusion
from sctd.embedded.evaluation import evaluate_prior
from sctd.embedded.networks import TextAndUNet, load_networks
from sctd.embedded.recogniser import Recogniser, measured_accuracy, save_recogniser, train_recogniser
from sctd.embedded.sample import sample_images, save_grid
from sctd.embedded.training import CPU, Length, Report, read_facts
from sctd.embedded.vae import train_vae
from sctd.embedded.weights import write_card
from sctd.embedded.words import SMALL, VIEW_WORDS, Subject
from sctd.errors import InputError
from sctd.machine.allocator import keep_freed_memory
from sctd.run.claims import LOCK

_MARK, _PICTURE = "training.json", "evaluation.png"
_STAGES = ("vae", "diffusion", "recogniser")
_FILES = (*(f"{stage}.safetensors" for stage in _STAGES), _PICTURE, _MARK)
_FOLDERS = ("data", "tokenizer", "vae", "weights", "weights.tmp")


@dataclass(frozen=True)
class Recipe:
    """Lengths and sizes of the training."""

    blocks: int = 75
    """Of traced views; 75 are 600 views of every kind, 2.2 GB."""
    vae: Length = field(default_factory=lambda: Length(steps=3_000))
    diffusion: Length = field(default_factory=lambda: Length(steps=40_000))
    recogniser: Length = field(default_factory=lambda: Length(steps=3_000))


def main(
    folder: Path,
    seed: int = 1,
    resume: bool = False,
    report: Report | None = None,
    recipe: Recipe | None = None,
    start_from: Path | None = None,
    data: Path | None = None,
    device: torch.device = CPU,
) -> Path:
    """Train everything into ``folder`` (checkpoints, a sample grid, ``weights/``); returns the last.

    Args:
        folder: run folder. seed: of scenes, captions, noise and first weights.
        resume: continue the training in the folder; otherwise first remove the files of an earlier one.
        report: takes a line of progress; standard error by default.
        start_from: weights of an earlier training, for example weights.FOLDER: its autoencoder and tokenizer
            are kept, its text encoder and UNet are trained further.
        data: folder of traced views, which may hold some already; None: ``folder``/data.
        device: of the training; the results are on the CPU.

    Raises:
        InputError: without ``resume``, the folder holds something, but no training.
        KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is saved where a stage has some.
    """
    recipe, report = recipe or Recipe(), report or _to_stderr
    keep_freed_memory()
    if not resume:
        _remove_training(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text(
        json.dumps({"seed": seed, **asdict(recipe)}, indent=1) + "\n", encoding="utf-8"
    )
    data = data or folder / "data"
    trace_blocks(data, recipe.blocks, seed, report)
    views = open_views(data)
    if device.type == "cuda":
        views = views.on(device)
    if start_from is None:
        vae = train_vae(views, folder, seed, recipe.vae, report, device)
        if not (folder / "tokenizer").exists():
            write_tokenizer(folder / "tokenizer", every_caption())
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        torch.manual_seed(seed)
        model = TextAndUNet(tokenizer)
    else:
        vae, tokenizer, model = load_networks(start_from)
    train_diffusion(model, vae, tokenizer, views, folder, seed, recipe.diffusion, report, device)
    weights = folder / "weights"
    recogniser = train_recogniser(folder, recipe.recogniser, report, device=device)
    save_recogniser(recogniser, weights / "recogniser.safetensors")
    write_card(_facts(folder, seed, len(views) // BLOCK, recogniser), weights)
    scores, _prompts, images = evaluate_prior(folder=weights, recogniser=recogniser)
    save_grid(images[:120], folder / _PICTURE, 12)
    write_card({"evaluation": scores}, weights)
    report(f"evaluation: {scores}")
    return weights


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


def _facts(folder: Path, seed: int, blocks: int, recogniser: Recogniser) -> dict[str, Any]:
    """The model card's facts: seed, versions, steps, seconds, losses, the recogniser's own accuracy."""
    paths = {name: folder / f"{name}.safetensors" for name in _STAGES}
    runs = {name: read_facts(path) for name, path in paths.items() if path.exists()}
    kinds = len(SMALL.kinds)
    return {
        "world": Subject.world,
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "data": f"{blocks * BLOCK // kinds} views of each of {kinds} kinds, coloured when used",
        "recogniser": measured_accuracy(recogniser),
        "training": runs,
    }


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def overview(folder: Path, path: Path, seed: int = 0) -> None:
    """A grid picture: every kind in a row, its five views and three random captions."""
    rng = random.Random(seed)
    prompts = []
    for kind in SMALL.kinds:
        subject = Subject(kind, rng.choice(list(SMALL.colors)))
        prompts += [
            f"{subject}, {VIEW_WORDS[view][0]}" for view in ("front", "left", "right", "back", "overhead")
        ]
        prompts += [with_view(base_caption(subject, rng), "front", rng) for _ in range(3)]
    save_grid(sample_images(prompts, seed, folder=folder), path, 8)
