"""Pictures from a browser, and the likeness of two pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from sctd.gaussians import SH_C0, Gaussians

Picture = NDArray[np.float64]


def flag_bearer(degree: int = 0, count: int = 600) -> Gaussians:
    """An asset that nobody takes for its mirror image or its head for its feet: our axes, y up, front +z.

    A grey trunk, a green ball on top, a red arm to the left (+x), a blue one to the front.
    """
    generator = torch.Generator().manual_seed(3)

    def blob(n: int, centre: list[float], spread: list[float]) -> torch.Tensor:
        return torch.tensor(centre) + torch.tensor(spread) * (2 * torch.rand(n, 3, generator=generator) - 1)

    n = count // 4
    parts = [
        (blob(n, [0, -0.1, 0], [0.12, 0.6, 0.12]), [0.5, 0.5, 0.5]),
        (blob(n, [0, 0.65, 0], [0.22, 0.18, 0.22]), [0.1, 0.7, 0.2]),
        (blob(n, [0.45, 0.2, 0], [0.35, 0.1, 0.1]), [0.9, 0.1, 0.1]),
        (blob(n, [-0.1, -0.35, 0.4], [0.1, 0.1, 0.3]), [0.1, 0.2, 0.9]),
    ]
    colors = torch.cat([torch.tensor(color).repeat(n, 1) for _, color in parts])
    return Gaussians(
        means=torch.cat([points for points, _ in parts]),
        scales=-3.3 + 0.3 * torch.randn(4 * n, 3, generator=generator),
        quats=torch.randn(4 * n, 4, generator=generator),
        opacities=2 + torch.randn(4 * n, generator=generator),
        sh0=((colors - 0.5) / SH_C0)[:, None],
        shN=0.15 * torch.randn(4 * n, (degree + 1) ** 2 - 1, 3, generator=generator),
    )


def decoded(png: bytes) -> Picture:
    """A screenshot, [H, W, 3], 0..1."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), np.float64) / 255


def ssim(a: Any, b: Any) -> float:
    """Structural similarity of two pictures [H, W, 3], 0..1, mean over the channels.

    Source: Wang et al. 2004: a Gaussian window of 1.5 pixels, K = 0.01 and 0.03.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape

    def mean(x: Picture) -> Picture:
        return np.asarray(gaussian_filter(x, (1.5, 1.5, 0)))

    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, cov = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return float(similar.mean())
