"""A method of another package, whole: latents are pulled to one grey; docs/methods_of_your_own.md."""

import torch
from pydantic import Field

from sctd.config.base import MethodSection
from sctd.methods.base import Guidance


class ToySettings(MethodSection):
    """The section `toy` of a run's settings: --set toy.grey=0.5."""

    grey: float = Field(default=0.0, ge=-1, le=1, description="The latent to go to, no unit.")


class Toy:
    """dL/dz0 = z0 - grey, whatever the prompt says."""

    Settings = ToySettings

    def __init__(self, prior, texts, settings, *, iterations, seed):
        self._grey = settings.grey

    @torch.no_grad()
    def __call__(self, z0, cameras, iteration, generator):
        return Guidance(z0 - self._grey, {"t": 0.0})
