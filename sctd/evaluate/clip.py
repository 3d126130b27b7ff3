"""CLIP's scores of an asset: likeness to the prompt, R-precision against other prompts, several fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd.evaluate.models import cut, load

VIEWS = 24
"""Azimuths of an asset, evenly spaced from the front: every 15 degrees."""
FRONT_QUARTER_DEG = 45.0
"""Up to this azimuth on either side the front is visible."""
SIDES = ("front view", "side view", "back view")
BATCH = 16


@dataclass(frozen=True)
class ClipScores:
    """Means over the views of one asset."""

    clip: float
    """100 times the cosine of a view and the prompt."""
    r_precision: float | None
    """Share of the views that are nearer to the prompt than to any distractor, 0..1; None without one."""
    janus: float
    """Share of the azimuths outside the front quarter for which "<prompt>, front view" wins over side and
    back view, 0..1; low is good. A proxy: many objects look alike from front and back."""


class Clip:
    """A CLIP of transformers: pictures and texts => unit vectors of one space."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self.image_size = int(model.config.vision_config.image_size)
        """Height and width that its pictures have, pixels."""
        self._length = int(model.config.text_config.max_position_embeddings)

    @classmethod
    def load(cls, spec: str) -> Clip:
        """From a folder or a hub id; see :func:`sctd.evaluate.models.load` for the errors."""
        from transformers import CLIPModel, CLIPProcessor

        return cls(*load(CLIPModel, CLIPProcessor, spec, "--clip"))

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Texts that are too long for the model."""
        return cut(self._processor, texts, self._length)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """n texts => [n, D]; cuts off long texts, as CLIP scores do: :meth:`cut`."""
        blank = torch.zeros(self.image_size, self.image_size, 3, dtype=torch.uint8)
        return self._both(texts, [blank.numpy()])[0]

    def images(self, images: Tensor) -> Tensor:
        """uint8 [n, H, W, 3] => [n, D]."""
        pictures = list(images.numpy())
        batches = [pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH)]
        return torch.cat([self._both(["a"], batch)[1] for batch in batches])

    @torch.no_grad()
    def _both(self, texts: Sequence[str], images: Sequence[Any]) -> tuple[Tensor, Tensor]:
        # The whole model, since the results of its two halves differ between versions.
        inputs = self._processor(
            text=list(texts),
            images=list(images),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self._length,
        )
        out = self._model(**inputs)
        return out.text_embeds, out.image_embeds


def scores(clip: Clip, images: Tensor, prompt: str, distractors: Sequence[str]) -> ClipScores:
    """Score pictures of one asset, uint8 [n, H, W, 3], at azimuths evenly spaced from 0.

    Args:
        distractors: other prompts; the prompt itself is ignored among them.
    """
    others = [text for text in dict.fromkeys(distractors) if text != prompt]
    texts = clip.texts([prompt, *others, *(f"{prompt}, {side}" for side in SIDES)])
    return score_embeddings(clip.images(images), texts[: 1 + len(others)], texts[1 + len(others) :])


def score_embeddings(views: Tensor, prompts: Tensor, sides: Tensor) -> ClipScores:
    """:func:`scores` of unit vectors: views [n, D] all round, prompts [1 + m, D] with the right one first,
    and the prompt from front, side and back [3, D]."""
    similar = views @ prompts.T
    azimuths = torch.arange(len(views)) * 360.0 / len(views)
    away = torch.minimum(azimuths, 360.0 - azimuths)
    front_wins = (views @ sides.T).argmax(1) == 0
    nearest = similar.argmax(1) == 0
    return ClipScores(
        clip=100 * float(similar[:, 0].mean()),
        r_precision=float(nearest.float().mean()) if len(prompts) > 1 else None,
        janus=float(front_wins[away > FRONT_QUARTER_DEG + 1e-3].float().mean()),
    )
