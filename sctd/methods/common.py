"""What the distillation methods share: the network under a run's texts, the noise, norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.machine import transfer
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import noise_in
from sctd.text import ViewTexts

# Added to the seed of the noise that a run draws once, so that it does not repeat the run's own generator.
_FIXED_NOISE_STREAM = 0x5C7D


class Network:
    """A prior with the texts of a run; counts its evaluations."""

    def __init__(self, prior: Prior, texts: ViewTexts, schedule: Schedule) -> None:
        self.prior = prior
        self.texts = texts
        self._schedule = schedule
        self.evaluations = 0
        """Images whose noise was predicted since :meth:`begin`."""
        self._cameras: Tensor | None = None

    def begin(self, cameras: Viewpoints) -> Tensor:
        """Start an iteration with these views; returns the prompt's text for them, [B, L, D].

        A prior that reads cameras gets them with every text, so that guidance concerns only the object.
        """
        self.evaluations = 0
        self._cameras = self.prior.encode_cameras(cameras)
        return self.texts.embeddings(cameras.azimuth, cameras.elevation)

    def outputs(self, z: Tensor, t: int, *texts: Tensor) -> tuple[Tensor, ...]:
        """The network's own output at z [B, ...] under each text ([1 or B, L, D]), all in one batch."""
        self.evaluations += len(texts) * z.shape[0]
        return self.prior.predict(*self._batch(z, t, texts)).split(z.shape[0])  # type: ignore[no-any-return]

    def noises(self, z: Tensor, t: int, *texts: Tensor) -> tuple[Tensor, ...]:
        """eps(z, t, text) under each text, in z's precision, all in one batch."""
        kind = self.prior.traits.prediction
        return tuple(noise_in(self._schedule, z, out, t, kind) for out in self.outputs(z, t, *texts))

    def null_noise(self, z: Tensor, t: int) -> Tensor:
        """eps(z, t, '')."""
        return self.noises(z, t, self.texts.null)[0]

    def guided_noise(self, z: Tensor, t: int, y: Tensor, guidance_scale: float) -> Tensor:
        """eps(z, t, neg) + w (eps(z, t, y) - eps(z, t, neg)); 2 B evaluations."""
        eps_neg, eps_y = self.noises(z, t, self.texts.negative, y)
        return eps_neg + guidance_scale * (eps_y - eps_neg)

    def _batch(self, z: Tensor, t: int, texts: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """The arguments of the prior: latents, timestep, texts, and cameras if it reads them."""
        views = [text.expand(z.shape[0], -1, -1) for text in texts]
        cameras = () if self._cameras is None else (self._cameras.repeat(len(texts), 1),)
        if len(views) == 1:  # not copied, so that the prior recognises one text for the whole batch
            return z, t, views[0], *cameras
        return z.repeat(len(texts), 1, 1, 1), t, torch.cat(views), *cameras


class NoiseSource:
    """eps*: normal, plus a constant per channel, the same for all images, that frees the mean brightness.

    A fixed noise depends only on the run's seed, so that a resumed run draws it again instead of storing it.
    A shared one is fixed, and the same for all images.
    """

    def __init__(self, *, fixed: bool, offset: float, seed: int, shared: bool = False) -> None:
        self._fixed = fixed or shared
        self._shared = shared
        self._offset = offset
        self._seed = seed
        self._kept: Tensor | None = None

    def __call__(self, z0: Tensor, generator: torch.Generator) -> Tensor:
        """Noise of z0's shape, dtype and device; a fixed one leaves the generator alone."""
        if not self._fixed:
            return self._draw(z0, generator)
        if self._kept is None or self._kept.shape != z0.shape:
            own = torch.Generator().manual_seed((self._seed + _FIXED_NOISE_STREAM) % 2**63)
            self._kept = self._draw(z0[:1], own).expand_as(z0) if self._shared else self._draw(z0, own)
        return self._kept

    def _draw(self, z0: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(z0.shape, generator=generator)
        if self._offset > 0:
            noise += self._offset * torch.randn((1, z0.shape[1], 1, 1), generator=generator)
        return transfer.to_device(noise.to(z0.dtype), z0.device)


def pixel_constraint(prior: Prior, own: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of L_CP = |D(own) - D(wanted)|^2 by ``own``, and the residual D(own) - D(wanted).

    It is 2 J^T (D(own) - D(wanted)) with the decoder's Jacobian J at ``own``; ``wanted`` is held fixed.

    Args:
        own, wanted: clean latents [B, C, h, w].

    Returns:
        (gradient [B, C, h, w], residual [B, 3, H, W] in pixel values of 0..1), both detached.

    Source: SegmentDreamer supplement, S-(1).
    """
    with torch.no_grad():
        target = prior.decode(wanted)
    with torch.enable_grad():
        leaf = own.detach().requires_grad_()
        image = prior.decode(leaf)
        residual = image.detach() - target
        (grad,) = torch.autograd.grad(image, leaf, 2 * residual)
    return grad, residual


def between(start: float, end: float, progress: float) -> float:
    """Linear from ``start`` to ``end``; progress 0..1."""
    return start + (end - start) * progress


def progress_of(iteration: int, iterations: int) -> float:
    """0 in the first iteration, 1 in the last."""
    return min(iteration / max(iterations - 1, 1), 1.0)


def norms(x: Tensor) -> Tensor:
    """The Euclidean norm of each image's tensor, [B]."""
    lengths: Tensor = torch.linalg.vector_norm(x.detach().flatten(1), dim=1)
    return lengths
