"""The frozen diffusion model as the rest of the program sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from sctd.cameras import Viewpoints

Timestep = int | Tensor
"""0 <= t < T for the whole batch, or one for each of its latents: [B], int64, on the CPU."""


class Prior(Protocol):
    """A frozen text-conditioned latent diffusion model; see :func:`sctd.prior.load_prior`.

    Latents are always times the VAE's scaling factor. Nothing here changes after loading.
    """

    @property
    def alphas_cumprod(self) -> Tensor:
        """abar_t, [T], float64 on the CPU, falling from about 1 to about 0."""
        ...

    @property
    def image_size(self) -> int:
        """Height and width that the model was made for, pixels."""
        ...

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of one latent."""
        ...

    @property
    def device(self) -> torch.device:
        """Where latents live."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Element type of the network and the embeddings; latents are float32 at least."""
        ...

    @property
    def torch_threads(self) -> int:
        """Threads that torch has for the network and the VAE; on a CPU their last bits depend on them."""
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

    @property
    def reads_cameras(self) -> bool:
        """Whether the model is told where a picture is seen from, so that its text names no view."""
        ...

    def encode_cameras(self, views: Viewpoints) -> Tensor | None:
        """B views => what :meth:`predict` takes of them, [B, F]; None from a prior that reads no cameras."""
        ...

    @property
    def prediction(self) -> str:
        """What :meth:`predict` gives: "epsilon", "v_prediction" or "sample"; :func:`sctd.ops.ode_step`."""
        ...

    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """The network's own output [B, C, h, w], in its own precision, no gradient; arguments as below."""
        ...

    def predict_noise(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """Noisy latents [B, C, h, w], 0 <= t < T, embeddings [B, L, D] => noise [B, C, h, w], no gradient.

        Whatever the model predicts natively (epsilon, v, sample) is converted.

        Args:
            cameras: from :meth:`encode_cameras`; None leaves the view to the text.
        """
        ...

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> Tensor | None:
        """Draws what :meth:`encode_images` samples the posterior of images [B, 3, H, W] with.

        Apart from the encoding, so that pictures with generators of their own can be encoded in one batch.

        Args:
            generator: on the CPU; left alone by a prior that has no posterior.

        Returns:
            Normal, [B, C, h, w], on the CPU; None from a prior that has no posterior.
        """
        ...

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Images [B, 3, H, W] in 0..1 => latents [B, C, h, w], differentiable.

        Args:
            noise: from :meth:`posterior_noise`; None takes the posterior's mean.
        """
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] => images [B, 3, H, W] clamped to 0..1, no gradient."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, C, h, w] => images [B, 3, H, W], 0..1 but not clamped to it, differentiable."""
        ...
