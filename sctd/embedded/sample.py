"""Samples of the embedded prior: DDIM with guidance, from texts alone or with given cameras."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sctd.cameras import Viewpoints, orbit_cameras
from sctd.embedded.pictures import FOV_DEG
from sctd.embedded.weights import FOLDER
from sctd.errors import InputError
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import clean, phi

ELEVATION_DEG, RADIUS, GREY = 15.0, 3.3, 0.8  # of the pictures all round: in the middle of the training range


def load_sampler(folder: Path = FOLDER) -> Prior:
    """The prior of a weights folder on the CPU, float32."""
    from sctd.prior.diffusers_prior import DiffusersPrior
    from sctd.prior.load.parts import load_folder

    parts = load_folder(folder, "embedded", torch.float32)
    return DiffusersPrior(parts, "embedded", torch.device("cpu"), torch.float32)


@torch.no_grad()
def sample_latents(
    prior: Prior,
    texts: Tensor,
    noise: Tensor,
    steps: int = 25,
    guidance_scale: float = 4.0,
    views: Viewpoints | None = None,
) -> Tensor:
    """Denoise with DDIM from the highest level down.

    Args:
        texts: embeddings [n, L, D]. noise: [n, C, h, w]. steps: evaluations of every picture.
        guidance_scale: w of eps('') + w (eps(text) - eps('')); 1 is no guidance.
        views: cameras, for a prior that reads them; None leaves the view to the text.

    Returns:
        Clean latents [n, C, h, w].
    """
    schedule, kind, z = Schedule(prior.traits.alphas_cumprod), prior.traits.prediction, noise
    empty = prior.encode_text([""]).expand_as(texts)
    cameras = None if views is None else prior.encode_cameras(views)
    both = None if cameras is None else cameras.repeat(2, 1)
    for start, end in pairwise(torch.linspace(999, 0, steps + 1).long().tolist()):
        out = prior.predict(z.repeat(2, 1, 1, 1), start, torch.cat((texts, empty)), both).to(z)
        told, untold = out.chunk(2)
        guided = untold + guidance_scale * (told - untold)
        z = phi(schedule, z, guided, start, end, kind) if end else clean(schedule, z, guided, start, kind)
    return z


def sample_images(
    prompts: Sequence[str],
    seed: int = 0,
    steps: int = 25,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    batch: int = 32,
    prior: Prior | None = None,
    views: Viewpoints | None = None,
) -> Tensor:
    """One picture a prompt.

    Args:
        prompts: texts of the embedded world. seed: of the starting noise. steps: DDIM steps.
        guidance_scale: w, 1 is no guidance. folder: a diffusers folder, unless ``prior`` is given.
        batch: pictures that go through the network at once.
        views: the camera of each picture; None leaves the view to the prompt.

    Returns:
        float32 [n, 3, H, W], 0..1.
    """
    prior = prior or load_sampler(folder)
    generator = torch.Generator().manual_seed(seed)
    images = []
    for start in range(0, len(prompts), batch):
        texts = prior.encode_text(list(prompts[start : start + batch]))
        noise = torch.randn(len(texts), *prior.traits.latent_shape, generator=generator)
        seen = None if views is None else views[start : start + batch]
        latents = sample_latents(prior, texts, noise, steps, guidance_scale, seen)
        images.append(prior.decode(latents).clamp(0, 1).float())
    return torch.cat(images)


def views_all_round(n: int, grey: float = GREY) -> Viewpoints:
    """n cameras evenly spaced round the object, the first at its front."""
    cameras = orbit_cameras(n, ELEVATION_DEG, RADIUS, FOV_DEG, 64)
    return cameras.over(torch.full((n, 3), grey))


def save_grid(images: Tensor, path: Path, columns: int, zoom: int = 1) -> None:
    """Pictures [n, 3, H, W], 0..1, as one PNG with ``columns`` a row, each pixel ``zoom`` times as large."""
    n, _, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.ones((rows * height, columns * width, 3), np.float32)
    for i, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        y, x = divmod(i, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = image
    picture = Image.fromarray((sheet.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)


def sample_grid(
    prompt: str,
    n: int,
    seed: int,
    steps: int,
    guidance_scale: float,
    out: Path,
    views: int | None = None,
    folder: Path = FOLDER,
) -> None:
    """Samples of one prompt as a grid picture, doubled in size.

    Args:
        n: samples, each of another noise.
        views: None leaves the view to the prompt; else each sample is drawn from so many sides, in a row.

    Raises:
        InputError: views are asked for and the prior reads no cameras.
    """
    prior = load_sampler(folder)
    if views is None:
        images = sample_images([prompt] * n, seed, steps, guidance_scale, prior=prior)
        save_grid(images, out, columns=max(1, min(n, round(n**0.5))), zoom=2)
        return
    if not prior.traits.reads_cameras:
        raise InputError(
            "--views: these weights of the embedded prior are told views in words only; leave it out and say "
            'the view in the prompt, as in "a red mushroom, back view"'
        )
    seen = views_all_round(views)
    rows = [
        sample_images([prompt] * views, seed + row, steps, guidance_scale, prior=prior, views=seen)
        for row in range(n)
    ]
    save_grid(torch.cat(rows), out, columns=views, zoom=2)
