"""Pictures straight from the embedded prior, through diffusers' own Stable Diffusion pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sctd.embedded.weights import FOLDER, load_pipeline


def sample_images(
    prompts: Sequence[str],
    seed: int = 0,
    steps: int = 25,
    guidance_scale: float = 4.0,
    folder: Path = FOLDER,
    batch: int = 32,
) -> Tensor:
    """One picture a prompt.

    Args:
        prompts: texts of the embedded world. seed: of the starting noise. steps: DDIM steps.
        guidance_scale: w + 1 in diffusers' counting, 1 is no guidance. folder: a diffusers folder.
        batch: pictures that go through the network at once.

    Returns:
        float32 [n, 3, 64, 64], 0..1.
    """
    pipeline: Any = load_pipeline(folder)
    generator = torch.Generator().manual_seed(seed)
    images = []
    for start in range(0, len(prompts), batch):
        out = pipeline(
            list(prompts[start : start + batch]),
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generator,
            height=64,
            width=64,
            output_type="np",
        )
        images.append(torch.from_numpy(out.images).permute(0, 3, 1, 2).float())
    return torch.cat(images)


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


def sample_grid(prompt: str, n: int, seed: int, steps: int, guidance_scale: float, out: Path) -> None:
    """n samples of one prompt as a grid picture, doubled in size."""
    images = sample_images([prompt] * n, seed, steps, guidance_scale)
    save_grid(images, out, columns=max(1, min(n, round(n**0.5))), zoom=2)
