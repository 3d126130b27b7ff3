"""Makes the embedded prior from nothing: scenes, autoencoder, latents, text encoder and UNet, recogniser,
card.

Each stage leaves a file in the run folder and is taken up where it stopped; seeds make the stages repeatable
for a given number of threads.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from sctd.claims import LOCK
from sctd.embedded.captions import base_caption, with_view, write_tokenizer
from sctd.embedded.diffusion import Latents, TextAndUNet, encode_latents, load_networks, train_diffusion
from sctd.embedded.evaluation import evaluate_prior
from sctd.embedded.pictures import Views, random_views
from sctd.embedded.recogniser import Recogniser, measured_accuracy, save_recogniser, train_recogniser
from sctd.embedded.sample import sample_images, save_grid
from sctd.embedded.training import Report, read_facts
from sctd.embedded.vae import train_vae
from sctd.embedded.weights import save_weights, write_card
from sctd.embedded.world import COLORS, KINDS, VIEW_WORDS, Subject
from sctd.errors import InputError
from sctd.memory import keep_freed_memory

VIEWS_PER_KIND, VARIANTS = 600, 4
_VIEWS, _LATENTS, _PICTURE = "views.safetensors", "latents.safetensors", "evaluation.png"
_STAGES = ("vae", "diffusion", "recogniser")
_FILES = (*(f"{stage}.safetensors" for stage in _STAGES), _LATENTS, _PICTURE, _VIEWS)
_FOLDERS = ("tokenizer", "weights", "weights.tmp")
VAE_STEPS, DIFFUSION_STEPS, RECOGNISER_STEPS = 1_500, 12_000, 3_000


def main(
    folder: Path,
    seed: int = 1,
    resume: bool = False,
    report: Report | None = None,
    vae_steps: int = VAE_STEPS,
    diffusion_steps: int = DIFFUSION_STEPS,
    recogniser_steps: int = RECOGNISER_STEPS,
    start_from: Path | None = None,
) -> Path:
    """Train everything into ``folder`` (checkpoints, a sample grid, ``weights/``); returns the last.

    Args:
        folder: run folder. seed: of scenes, captions, noise and first weights.
        resume: go on from what the folder holds; else the files of an earlier training in it are removed
            first.
        report: takes a line of progress; standard error by default.
        vae_steps, diffusion_steps, recogniser_steps: optimiser steps of each stage.
        start_from: weights of an earlier training, for example weights.FOLDER: its autoencoder and tokenizer
            are kept, its text encoder and UNet are trained further.

    Raises:
        InputError: without ``resume``, the folder holds something, but no training.
        KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is saved where a stage has some.
    """
    report = report or _to_stderr
    keep_freed_memory()
    if not resume:
        _remove_training(folder)
    folder.mkdir(parents=True, exist_ok=True)
    views = _views(folder, seed, report)
    if start_from is None:
        vae = train_vae(views, folder, seed, vae_steps, report)
        write_tokenizer(folder / "tokenizer")
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        torch.manual_seed(seed)
        model = TextAndUNet(tokenizer)
    else:
        vae, tokenizer, model = load_networks(start_from)
    latents = _latents(folder, vae, views, seed, report)
    train_diffusion(model, latents, tokenizer, folder, seed, diffusion_steps, report)
    weights = folder / "weights"
    save_weights(vae, model, tokenizer, weights)
    recogniser = train_recogniser(folder, recogniser_steps, report)
    save_recogniser(recogniser, weights / "recogniser.safetensors")
    write_card(_facts(folder, seed, recogniser), weights)
    scores, _prompts, images = evaluate_prior(folder=weights, recogniser=recogniser)
    save_grid(images[:120], folder / _PICTURE, 12)
    write_card({"evaluation": scores}, weights)
    report(f"evaluation: {scores}")
    return weights


def _remove_training(folder: Path) -> None:
    """Remove what a training writes, and nothing else: people put their own beside it."""
    if not folder.is_dir() or all(path.name == LOCK for path in folder.iterdir()):
        return
    if not (folder / _VIEWS).is_file():
        raise InputError(f"will not overwrite {folder}: it is not the folder of a training (no {_VIEWS})")
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_suffix(".tmp").unlink(missing_ok=True)
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def _facts(folder: Path, seed: int, recogniser: Recogniser) -> dict[str, Any]:
    """What the model card tells: seed, versions, steps, seconds, losses, the recogniser's own accuracy."""
    paths = {name: folder / f"{name}.safetensors" for name in _STAGES}
    runs = {name: read_facts(path) for name, path in paths.items() if path.exists()}
    return {
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "data": f"{VIEWS_PER_KIND} views of each of {len(KINDS)} kinds, {VARIANTS} colourings of each view",
        "recogniser": measured_accuracy(recogniser),
        "training": runs,
    }


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _views(folder: Path, seed: int, report: Report) -> Views:
    path = folder / _VIEWS
    if not path.exists():
        report(f"scenes: tracing {VIEWS_PER_KIND} views of {len(KINDS)} kinds")
        _save(path, vars(random_views(seed, VIEWS_PER_KIND)))
    return Views(**load_file(path))


def _latents(folder: Path, vae: AutoencoderKL, views: Views, seed: int, report: Report) -> Latents:
    path = folder / _LATENTS
    if not path.exists():
        _save(path, vars(encode_latents(vae, views, VARIANTS, seed, report)))
    return Latents(**load_file(path))


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    temporary.replace(path)


def overview(folder: Path, path: Path, seed: int = 0) -> None:
    """A grid picture: every kind in a row, its five views and three random captions."""
    rng = random.Random(seed)
    prompts = []
    for kind in KINDS:
        subject = Subject(kind, rng.choice(list(COLORS)))
        prompts += [
            f"{subject}, {VIEW_WORDS[view][0]}" for view in ("front", "left", "right", "back", "overhead")
        ]
        prompts += [with_view(base_caption(subject, rng), "front", rng) for _ in range(3)]
    save_grid(sample_images(prompts, seed, folder=folder), path, 8)
