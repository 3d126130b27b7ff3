"""Perp-Neg: predictions for the right and the wrong views in, one for ordinary guidance out."""

from __future__ import annotations

import torch
from torch import Tensor


def combine(eps_null: Tensor, eps_right: Tensor, eps_wrong: Tensor, weights: Tensor) -> Tensor:
    """eps_null + d + sum_i w_i perp(d_i, d), with d = eps_right - eps_null and d_i = eps_wrong_i - eps_null.

    perp(a, d) is a without its part along d, per image, over all channels and pixels.

    Args:
        eps_null, eps_right: [B, C, h, w].
        eps_wrong: K wrong directions of each image, [B, K, C, h, w].
        weights: [B, K], <= 0, no unit.

    Returns:
        A prediction [B, C, h, w] that stands for the conditional one inside classifier-free guidance.

    Source: Armandpour et al. 2023, "Re-imagine the negative prompt algorithm", eq. for view conditioning.
    """
    right = eps_right - eps_null
    wrong = eps_wrong - eps_null[:, None]
    d = right.flatten(1)
    others = wrong.flatten(2)
    # a direction equal to eps_null has length 0 and nothing along it to take out
    length2 = (d * d).sum(1, keepdim=True).clamp(min=torch.finfo(d.dtype).tiny)
    along = torch.einsum("bkn,bn->bk", others, d) / length2
    perpendicular = others - along[..., None] * d[:, None]
    pushed = torch.einsum("bk,bkn->bn", weights.to(d), perpendicular)
    return eps_null + right + pushed.view_as(right)
