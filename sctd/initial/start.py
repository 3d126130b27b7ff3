"""The first Gaussians of a run: on a shape, from a file, or on a shape that Shap-E makes of the prompt."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.gaussians import Gaussians, round_gaussians
from sctd.initial.file import from_file
from sctd.initial.shap_e import from_pipeline, load
from sctd.initial.subject import main_thing


def initialise(
    settings: GaussianSettings,
    generator: torch.Generator,
    *,
    prompt: str = "",
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> Gaussians:
    """The first Gaussians of a run, on the CPU, float32; they depend only on the arguments.

    Args:
        generator: on the CPU.
        prompt: the run's; Shap-E gets its main object, unless ``init_prompt`` is set.
        device: of Shap-E.
        say: gets a line for each part of the file that is left out, and for the choice of ``init = auto``.

    Raises:
        InputError: a file or Shap-E cannot be read, or gives no Gaussians.
    """
    if settings.init == "file":
        return from_file(settings, generator, say)
    shape = settings.init
    if shape in ("shap-e", "auto"):
        asked = settings.init_prompt or main_thing(prompt)
        try:
            pipeline = load(settings.shap_e)
        except InputError as exc:
            if shape == "shap-e":
                raise
            say(f"starting from a ball of radius {settings.init_radius:g}, which gives worse shapes: {exc}")
            shape = "ball"
        else:
            say(f"starting from what Shap-E makes of {asked!r}")
            return from_pipeline(pipeline, asked, settings, generator, device)
    points = settings.init_radius * _unit_shape(shape, settings.count, generator)
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
