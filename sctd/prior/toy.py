"""The prior named "analytic": discs and squares in four colours, as a Gaussian mixture. For tests."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.prior import PriorSettings
from sctd.prior.analytic import AnalyticPrior

SIZE, FACTOR, SPREAD = 32, 4, 0.1
COLORS = {
    "red": (0.8, 0.1, 0.1),
    "green": (0.1, 0.6, 0.2),
    "blue": (0.1, 0.2, 0.8),
    "yellow": (0.9, 0.8, 0.1),
}
SHAPES = ("ball", "box")
BACKGROUND = 0.75


def toy_prior(device: torch.device, dtype: torch.dtype) -> AnalyticPrior:
    """One component for each colour and shape, the same from every side; 32 x 32 pictures, 8 x 8 latents.

    It knows the words red, green, blue, yellow, ball and box; others, the views' too, say nothing to it.

    Args:
        dtype: float32 at least is used.
    """
    pictures = torch.stack([_picture(shape, color) for color in COLORS.values() for shape in SHAPES])
    latent = torch.zeros(1, 4, SIZE // FACTOR, SIZE // FACTOR)
    encoder = AnalyticPrior(latent, torch.ones(1), torch.ones(1), {}, factor=FACTOR)
    means = encoder.encode_images(pictures).to(device, torch.promote_types(dtype, torch.float32))
    count = len(pictures)
    labels = {color: range(2 * i, 2 * i + 2) for i, color in enumerate(COLORS)}
    labels |= {shape: range(i, count, len(SHAPES)) for i, shape in enumerate(SHAPES)}
    return AnalyticPrior(means, torch.full((count,), SPREAD), torch.ones(count), labels, factor=FACTOR)


def make(settings: PriorSettings, source: object, device: torch.device, dtype: torch.dtype) -> AnalyticPrior:
    """:func:`toy_prior` for the table of families; the settings say nothing to it, and it has no source."""
    return toy_prior(device, dtype)


def _picture(shape: str, color: tuple[float, float, float]) -> Tensor:
    """[3, SIZE, SIZE] in 0..1: the shape fills the middle half of the picture's width."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = (x**2 + y**2).sqrt() if shape == "ball" else torch.maximum(x.abs(), y.abs())
    return torch.where(inside < 0.25, torch.tensor(color)[:, None, None], BACKGROUND)
