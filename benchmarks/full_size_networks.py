"""Stable Diffusion's networks without its weights: with random ones, or with shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from sctd.errors import SctdError
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.load.parts import Parts, quiet, read_scheduler
from sctd.prior.load.single_file import skeleton

POOL = 4_194_301
"""Random numbers that all weights are filled from, over and over: to draw 1.3 billion takes longer. A prime,
so that no two rows of a weight are alike."""


class Bytes:
    """A tokenizer with a token for each byte, for meaningless texts. Supports only the prior's calls."""

    def __init__(self, length: int) -> None:
        """Takes the tokens that the text encoder reads."""
        self.model_max_length = length

    def __len__(self) -> int:
        return 256

    @dataclass(frozen=True)
    class Tokens:
        """The result of transformers' tokenizers."""

        input_ids: Any

    def __call__(self, texts: str | list[str], **how: Any) -> Tokens:
        """One text => its tokens; several => [n, length] int64, padded with 0 and cut."""
        if isinstance(texts, str):
            return self.Tokens(list(texts.encode()))
        length = self.model_max_length
        rows = [text.encode()[:length].ljust(length, b"\0") for text in texts]
        return self.Tokens(torch.tensor([list(row) for row in rows]))


def read_shapes(folder: Path, dtype: torch.dtype) -> Parts:
    """The networks of a folder's configs, on the meta device."""
    with quiet():
        networks = {part: network.to(dtype) for part, network in skeleton(folder, folder.name).items()}
        tokenizer = Bytes(networks["text_encoder"].config.max_position_embeddings)
        return Parts(**networks, tokenizer=tokenizer, scheduler=read_scheduler(folder))


@torch.no_grad()
def fill(parts: Parts, seed: int) -> Parts:
    """Gives the networks memory and random weights that keep the numbers between layers near 1 in size."""
    pool, at = torch.randn(POOL, generator=torch.Generator().manual_seed(seed)), 0
    for network in (parts.unet, parts.vae, parts.text_encoder):
        network.to_empty(device="cpu")
        for name, buffer in network.named_buffers():
            if not name.endswith("position_ids"):
                raise SctdError(f"the networks have a buffer {name}, whose values are not known here")
            buffer.copy_(torch.arange(buffer.shape[-1]))
        for name, weight in network.named_parameters():
            if weight.dim() < 2:
                weight.fill_(float(name.endswith("weight")))  # of norms; all biases are 0
            else:
                at = _fill_from(pool, at, weight.view(-1))
                weight.mul_(weight[0].numel() ** -0.5)
    return parts


def _fill_from(pool: Tensor, at: int, flat: Tensor) -> int:
    """Fill a tensor from the pool, cyclically from ``at``; returns the next position."""
    done = 0
    while done < len(flat):
        piece = pool[at : at + len(flat) - done]
        flat[done : done + len(piece)].copy_(piece)
        done += len(piece)
        at = (at + len(piece)) % len(pool)
    return at


class Hollow(DiffusersPrior):
    """Networks on the meta device inside a trainer with real numbers.

    Every call runs the network without numbers, for those who count, and answers with noise of its shape.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.traits = replace(self.traits, device=torch.device("cpu"))  # where the numbers are

    def encode_text(self, texts: list[str]) -> Tensor:
        """See :class:`.Prior`; the text encoder does not run: a run asks it once."""
        return torch.randn(
            len(texts),
            self._tokenizer.model_max_length,
            self._unet.config.cross_attention_dim,
            dtype=self.traits.dtype,
        )

    def predict(self, latents: Tensor, t: int, embeddings: Tensor, cameras: None = None) -> Tensor:
        """See :class:`.Prior`."""
        out = super().predict(_without_numbers(latents), t, _without_numbers(embeddings))
        return _noise_like(out)

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See :class:`.Prior`."""
        encode = super().encode_images
        return _Through.apply(images, lambda shape: encode(shape, generator))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See :class:`.Prior`; without a gradient."""
        return _noise_like(super().decode(_without_numbers(latents)))


def _without_numbers(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _noise_like(x: Tensor) -> Tensor:
    with _disable_current_modes():  # no network draws it: it is not to be counted
        return torch.randn(x.shape, dtype=torch.float32).to(x.dtype)


class _Through(torch.autograd.Function):
    """A function of shapes, forward and backward, between tensors with numbers."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            ctx.shape = _without_numbers(images).requires_grad_()
            ctx.out = function(ctx.shape)
        return _noise_like(ctx.out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = torch.autograd.grad(ctx.out, ctx.shape, _without_numbers(grads[0]))
        return _noise_like(grad), None
