"""The Gaussians that a run starts from: a shape, a file, or what Shap-E makes of the prompt."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sctd.gaussians import Gaussians, round_gaussians
from sctd.initial.file import from_file
from sctd.initial.shap_e import from_prompt
from sctd.settings import GaussianSettings


def initialise(
    settings: GaussianSettings,
    generator: torch.Generator,
    *,
    prompt: str = "",
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> Gaussians:
    """The Gaussians that a run starts from, on the CPU, float32; nothing but the arguments decides them.

    Args:
        generator: on the CPU.
        prompt: what Shap-E makes, for ``init = shap-e``.
        device: where Shap-E runs.
        say: told in a line what the file has and the Gaussians lack.

    Raises:
        InputError: a file or Shap-E cannot be read, or holds nothing to start from.
    """
    if settings.init == "file":
        return from_file(settings, generator, say)
    if settings.init == "shap-e":
        return from_prompt(prompt, settings, generator, device)
    points = settings.init_radius * _unit_shape(settings.init, settings.count, generator)
    noise = settings.init_color_std * torch.randn(settings.count, 3, generator=generator)
    return round_gaussians(points, (torch.tensor(settings.init_color) + noise).clamp(0, 1), settings)


def _unit_shape(shape: str, n: int, generator: torch.Generator) -> Tensor:
    """n points, [n, 3]: uniform in the unit ball, on the unit sphere, or in the cube of half edge 1."""
    if shape == "box":
        return 2 * torch.rand(n, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    if shape == "sphere":
        return directions
    return directions * torch.rand(n, 1, generator=generator) ** (1 / 3)
