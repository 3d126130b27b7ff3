"""Step 1 of 9: a prompt and camera directions => text embeddings that name the views."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from sctd.config.views import OVERHEAD_ELEVATION_DEG, VIEWS, PerpNegSettings, ViewSettings
from sctd.machine import transfer
from sctd.prior.base import Prior

FRONT, LEFT, RIGHT, BACK, OVERHEAD = range(len(VIEWS))

# Where a view is this close to a direction's own (r of perp_neg_weights), that direction's negative is
# off: along the prompt's own direction there is no perpendicular part worth having. Released figures.
_NEAR, _FAR = 0.8, 0.2


def blend_weights(
    azimuth: Tensor, elevation: Tensor, overhead_elevation: float = math.radians(OVERHEAD_ELEVATION_DEG)
) -> Tensor:
    """The weight of each view phrase for a camera direction.

    With a = |azimuth| wrapped to 0..180 deg, the front half blends front and side with r = 1 - a/90, the
    back half side and back with r = 1 - (a - 90)/90. A positive azimuth's side is the left one. From
    ``overhead_elevation`` on the overhead phrase stands alone.

    Args:
        azimuth: [B] radians, any range; 0 sees the front, +pi/2 the object's own left.
        elevation: [B] radians, positive upwards.
        overhead_elevation: radians; pi/2 or more turns the overhead phrase off.

    Returns:
        [B, 5] in the order of :data:`sctd.config.views.VIEWS` (front, left, right, back, overhead),
        each row >= 0 with sum 1, in the dtype of ``azimuth``.

    Source: released code of SegmentDreamer, with two sides instead of one.
    """
    turn = torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi  # -pi..pi
    away = turn.abs() / (math.pi / 2)  # 0 front, 1 side, 2 back
    front = (1 - away).clamp(min=0)
    back = (away - 1).clamp(min=0)
    side = 1 - front - back
    on_left = turn >= 0
    zero = torch.zeros_like(side)
    level = torch.stack(
        (front, torch.where(on_left, side, zero), torch.where(on_left, zero, side), back, zero), dim=1
    )
    if overhead_elevation >= math.pi / 2:
        return level
    above = torch.zeros_like(level)
    above[:, OVERHEAD] = 1
    return torch.where((elevation >= overhead_elevation)[:, None], above, level)


def blend(weights: Tensor, embeddings: Tensor) -> Tensor:
    """Weights [B, 5] and the views' embeddings [5, L, D] => [B, L, D], their weighted sums."""
    return torch.einsum(
        "bv,vld->bld", transfer.to_device(weights.to(embeddings.dtype), embeddings.device), embeddings
    )


def perp_neg_weights(
    azimuth: Tensor,
    elevation: Tensor,
    settings: PerpNegSettings,
    overhead_elevation: float = math.radians(OVERHEAD_ELEVATION_DEG),
) -> Tensor:
    """Weights of the two wrong directions, front and the camera's own side, that Perp-Neg pushes away from.

    With r = 1 at the front (front half) or at the side (back half), falling to 0 over 90 degrees:
    front half: front = n exp(-front_decay r), off above r = 0.8; side = n exp(-side_decay (1 - r)),
    off below 0.2.
    back half: front = n; side = n/2 exp(-side_decay r), off above 0.8.  Overhead: both off.

    Args:
        azimuth, elevation, overhead_elevation: as in :func:`blend_weights`.
        settings: n (``negative_weight``) and the decays.

    Returns:
        [B, 2], (front, side), each <= 0, in the dtype of ``azimuth``.

    Source: Armandpour et al. 2023, Perp-Neg; constants of SegmentDreamer's released code.
    """
    away = (torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi).abs() / (math.pi / 2)
    in_front = away <= 1
    r = torch.where(in_front, 1 - away, 2 - away)
    off = torch.zeros_like(r)
    front = torch.where(r > _NEAR, off, torch.exp(-settings.front_decay * r))
    side = torch.where(r < _FAR, off, torch.exp(-settings.side_decay * (1 - r)))
    side_behind = torch.where(r > _NEAR, off, 0.5 * torch.exp(-settings.side_decay * r))
    weights = torch.stack(
        (torch.where(in_front, front, torch.ones_like(r)), torch.where(in_front, side, side_behind)), dim=1
    )
    if overhead_elevation < math.pi / 2:
        weights = torch.where((elevation >= overhead_elevation)[:, None], torch.zeros_like(weights), weights)
    return settings.negative_weight * weights


def view_prompts(prompt: str, settings: ViewSettings) -> list[str]:
    """The five texts "<prompt>, <phrase>" in the order of VIEWS; an empty phrase leaves the bare prompt."""
    phrases = [getattr(settings, view) if settings.enabled else "" for view in VIEWS]
    return [f"{prompt}, {phrase}" if phrase else prompt for phrase in phrases]


@dataclass(frozen=True)
class ViewTexts:
    """Every text embedding of a run, encoded once.

    ``views`` [5, L, D] in the order of VIEWS; ``null`` [1, L, D] of the empty text ''
    (inversion, self-consistency); ``negative`` [1, L, D] of the negative
    prompt (inside guidance). The last two differ.
    """

    views: Tensor
    null: Tensor
    negative: Tensor
    negative_is_null: bool
    overhead_elevation: float

    @classmethod
    def encode(cls, prior: Prior, prompt: str, negative_prompt: str, settings: ViewSettings) -> ViewTexts:
        """Encodes the prompt from every side, the empty text and the negative prompt, in one batch.

        A prior that reads cameras is told the view by them: the prompt is then the same from every side.

        Raises:
            PromptError: the prior refuses the prompt, or it is too long with a view phrase, or the negative
                prompt is too long.
        """
        said = settings if not prior.traits.reads_cameras else settings.model_copy(update={"enabled": False})
        texts = view_prompts(prompt, said)
        prior.check_prompt(prompt, texts)
        embeddings = prior.encode_text([*texts, "", negative_prompt])
        count = len(texts)
        return cls(
            views=embeddings[:count],
            null=embeddings[count : count + 1],
            negative=embeddings[count + 1 :],
            negative_is_null=negative_prompt == "",
            overhead_elevation=math.radians(settings.overhead_elevation_deg),
        )

    def embeddings(self, azimuth: Tensor, elevation: Tensor) -> Tensor:
        """Embeddings [B, L, D] of the prompt seen from these directions ([B] radians each)."""
        return blend(blend_weights(azimuth, elevation, self.overhead_elevation), self.views)

    def perp_neg(
        self, azimuth: Tensor, elevation: Tensor, settings: PerpNegSettings
    ) -> tuple[Tensor, Tensor]:
        """The prompt and both wrong directions, front and the camera's side.

        Returns:
            embeddings [3, B, L, D], the first as :meth:`embeddings`, made in one product; and the wrong
            directions' weights [B, 2].
        """
        turn = torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi
        side = torch.where(turn >= 0, LEFT, RIGHT)
        wrong = one_hot(torch.stack((torch.full_like(side, FRONT), side)), len(self.views)).to(azimuth.dtype)
        right = blend_weights(azimuth, elevation, self.overhead_elevation)
        rows = torch.cat((right[None], wrong)).flatten(0, 1)
        weights = perp_neg_weights(azimuth, elevation, settings, self.overhead_elevation)
        return (
            blend(rows, self.views).unflatten(0, (3, -1)),
            transfer.to_device(weights.to(self.views.dtype), self.views.device),
        )
