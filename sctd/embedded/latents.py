"""Encoded pictures with captions and cameras: the training data of the diffusion model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from sctd.embedded.captions import view_of, with_view
from sctd.embedded.subject import Subject
from sctd.embedded.traced import TracedViews
from sctd.embedded.training import mixed_precision, step_generator
from sctd.embedded.words import VIEW_PHRASES
from sctd.embedded.world import World
from sctd.prior.views import camera_features
from sctd.text import blend_weights

# How the caption of a picture whose camera is not told says the view: not at all, by words of the nearest
# view, or by two neighbouring phrases blended by azimuth exactly as text.py does it when an object is
# distilled. Words alone are only given to pictures within 30 degrees of what they say (a blend weight of
# 2/3), so that they stay crisp.
NO_VIEW, NEAREST = 0.12, 0.35
CRISP = 2 / 3


@dataclass(frozen=True)
class Sample:
    """Encoded pictures and all that may be told of them, each [n, ...] on one device."""

    z0: Tensor
    """Latents times the scaling factor, float16 [n, C, h, w]."""
    features: Tensor
    """Of the camera, [n, FEATURES]."""
    caption: Tensor
    """Token numbers of a caption without a view, int64 [n, L]."""
    view_captions: Tensor
    """Of two captions that say the view, [n, 2, L], whose embeddings are blended ..."""
    share: Tensor
    """... with this weight of the first, [n]."""

    def __len__(self) -> int:
        return len(self.z0)

    def __getitem__(self, index: Tensor) -> Sample:
        return Sample(*(values[index] for values in vars(self).values()))


@dataclass(frozen=True)
class Lessons:
    """What samples are made from: traced views of a world, its tokenizer, and an autoencoder."""

    world: World
    views: TracedViews
    tokenizer: CLIPTokenizer
    vae: AutoencoderKL


def view_captions(
    world: World, subject: Subject, azimuth: float, elevation: float, weights: Tensor, rng: random.Random
) -> tuple[str, str, float]:
    """Two texts that together describe a picture's view, and the weight of the first in their blend.

    Args:
        weights: of the five phrases for this direction, :func:`sctd.text.blend_weights`.
    """
    text, draw, top = world.caption(subject, rng), rng.random(), weights.topk(2)
    if draw < NO_VIEW:
        return text, text, 1.0
    if draw < NO_VIEW + NEAREST and top.values[0] > CRISP:
        text = with_view(text, view_of(azimuth, elevation), rng)
        return text, text, 1.0
    first, second = (f"{text}, {VIEW_PHRASES[int(k)]}" for k in top.indices)
    return first, second, float(top.values[0])


def token_numbers(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Texts => token numbers [n, L], int64, padded to the tokenizer's length."""
    tokens: Any = tokenizer(list(texts), padding="max_length", truncation=True)
    return torch.tensor(tokens.input_ids)


def draw_sample(lessons: Lessons, n: int, seed: int, step: int) -> Sample:
    """n random views as pictures, encoded on the autoencoder's device, with captions."""
    world, vae = lessons.world, lessons.vae
    generator, rng, device = step_generator(seed, step), random.Random(f"{seed} {step}"), vae.device
    pictures = lessons.views.draw(n, generator, device=device)
    with torch.no_grad(), mixed_precision(device):
        posterior = vae.encode(pictures.images * 2 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator)
    z0 = (posterior.mean.float() + posterior.std.float() * noise.to(device)) * vae.config.scaling_factor

    azimuth, elevation = pictures.cameras.azimuth, pictures.cameras.elevation
    weights = blend_weights(azimuth, elevation)
    captions, firsts, seconds, shares = [], [], [], []
    for i, subject in enumerate(pictures.subjects):
        captions.append(world.caption(subject, rng))
        first, second, share = view_captions(
            world, subject, float(azimuth[i]), float(elevation[i]), weights[i], rng
        )
        firsts.append(first)
        seconds.append(second)
        shares.append(share)
    plain, first_tokens, second_tokens = token_numbers(
        lessons.tokenizer, [*captions, *firsts, *seconds]
    ).split(n)
    return Sample(
        z0.half(),
        camera_features(pictures.cameras).to(device),
        plain.to(device),
        torch.stack((first_tokens, second_tokens), dim=1).to(device),
        torch.tensor(shares).to(device),
    )


class Pool:
    """Samples kept for several uses, since encoding costs much of a step; new ones replace the oldest.

    It is empty after a restart and fills again; the batches are then others, of the same distribution.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: Sample | None = None
        self._next = self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def add(self, new: Sample) -> None:
        """Add samples; a full pool replaces the oldest."""
        if self._kept is None:
            room = {name: x.new_zeros(self._capacity, *x.shape[1:]) for name, x in vars(new).items()}
            self._kept = Sample(**room)
        places = (torch.arange(len(new)) + self._next) % self._capacity
        for kept, values in zip(vars(self._kept).values(), vars(new).values(), strict=True):
            kept[places.to(kept.device)] = values
        self._next = (self._next + len(new)) % self._capacity
        self._filled = min(self._filled + len(new), self._capacity)

    def draw(self, n: int, generator: torch.Generator) -> Sample:
        """n of the samples at random; the pool must not be empty."""
        assert self._kept is not None
        return self._kept[torch.randint(len(self), (n,), generator=generator).to(self._kept.z0.device)]
