"""The interface of the frozen diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sctd.cameras import Viewpoints

Timestep = int | Tensor
"""0 <= t < T for the whole batch, or one for each of its latents: [B], int64, on the CPU."""


@dataclass(frozen=True)
class Traits:
    """The facts about a prior, which never change after loading."""

    device: torch.device
    """The device of latents."""
    dtype: torch.dtype
    """Element type of the network and the embeddings; latents are float32 at least."""
    image_size: int
    """Height and width of the model's images, pixels."""
    latent_shape: tuple[int, int, int]
    """(C, h, w) of one latent."""
    alphas_cumprod: Tensor
    """abar_t, [T], float64 on the CPU, falling from about 1 to about 0."""
    prediction: str = "epsilon"
    """Kind of :meth:`Prior.predict`: "epsilon", "v_prediction" or "sample"; :func:`sctd.ops.ode_step`."""
    reads_cameras: bool = False
    """Whether the model reads cameras, so that its text names no view."""
    torch_threads: int | None = None
    """Torch threads of every call; None: those of the calling thread. On a CPU the last bits of network and
    VAE depend on them."""

    def threads_now(self) -> int:
        """Torch threads of a call by this thread."""
        return self.torch_threads or torch.get_num_threads()


class Prior(Protocol):
    """A frozen text-conditioned latent diffusion model; see :func:`sctd.prior.load_prior`.

    Latents are always times the VAE's scaling factor.
    """

    @property
    def traits(self) -> Traits:
        """The same each time."""
        ...

    def check_prompt(self, prompt: str, texts: Sequence[str] = ()) -> None:
        """Raises :class:`sctd.errors.PromptError` when the model cannot answer the prompt, or cannot read one
        of the ``texts`` made of it to its end; without any, the prompt as it is."""
        ...

    def encode_text(self, texts: list[str]) -> Tensor:
        """n texts => embeddings [n, L, D], no gradient.

        Raises:
            PromptError: a text is too long for the model to read it to its end.
        """
        ...

    def encode_cameras(self, views: Viewpoints) -> Tensor | None:
        """B views => camera features for :meth:`predict`, [B, F]; None from a prior that reads no cameras."""
        ...

    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """The network's own output [B, C, h, w], in its own precision, no gradient.

        Args:
            latents: noisy, [B, C, h, w].
            t: their timestep.
            embeddings: [B, L, D] from :meth:`encode_text`, or linear in those.
            cameras: from :meth:`encode_cameras`; None leaves the view to the text.
        """
        ...

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> Tensor | None:
        """Draw the noise with which :meth:`encode_images` samples the posterior of images [B, 3, H, W].

        Separate from the encoding, so that one batch can encode pictures with different generators.

        Args:
            generator: on the CPU; unused by a prior without a posterior.

        Returns:
            Normal, [B, C, h, w], on the CPU; None from a prior without a posterior.
        """
        ...

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images [B, 3, H, W] in 0..1 => latents [B, C, h, w], differentiable.

        Args:
            noise: from :meth:`posterior_noise`; None takes the posterior's mean.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] => images [B, 3, H, W], 0..1 but not clamped to it, differentiable."""
        ...
