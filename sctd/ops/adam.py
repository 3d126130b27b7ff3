"""Ops around the optimiser: one fused Adam step, and nearest-neighbour distances for the initial scales."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import reference
from sctd.ops._backend import choose, native
from sctd.ops._checks import addresses, check_same, check_shape


@torch.library.custom_op("sctd::adam", mutates_args=("param", "exp_avg", "exp_avg_sq"), device_types="cpu")
def _adam(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    grad: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    clip: float,
) -> Tensor:
    """=> the gradient's norm before clipping, [] float64; 0 without clipping (clip <= 0)."""
    grad = grad.contiguous()  # named: it must outlive the call below
    at = addresses(param, exp_avg, exp_avg_sq, grad)
    bias1, bias2 = 1 - beta1**step, 1 - beta2**step
    norm = native().adam(
        param.dtype == torch.float64, param.numel(), lr, beta1, beta2, eps, bias1, bias2, clip, at
    )
    return torch.tensor(norm, dtype=torch.float64)


@_adam.register_fake
def _(param: Tensor, *rest: object) -> Tensor:
    return param.new_empty((), dtype=torch.float64)


@torch.no_grad()
def adam_step_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    grad_clip_norm: float | None = None,
    backend: str = "auto",
) -> float:
    """One Adam step, in place and in one pass over the four tensors.

    Args:
        param, exp_avg, exp_avg_sq: changed in place; one shape, float32 or float64, contiguous.
        grad: same shape and dtype.
        step: 1 for the first step; sets the bias correction.
        lr: learning rate, in units of ``param``.
        beta1, beta2: decay of the two moments, 0..1 (1 excluded).
        eps: added to the root of the second moment.
        grad_clip_norm: the gradient is scaled down to this 2-norm first; None: not at all.
        backend: "auto", "cpu" or "reference".

    Returns:
        The gradient's 2-norm before clipping; 0.0 when ``grad_clip_norm`` is None.

    Raises:
        InputError: a shape, dtype, device, layout or number does not fit; the message names it.

    Plain twin: :func:`sctd.ops.reference.adam_step_`.
    Source: Kingma and Ba 2015, algorithm 1; eps placed as in torch.optim.Adam.
    """
    others = {"grad": grad, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    for name, tensor in others.items():
        check_shape(name, tensor, tuple(param.shape), meaning=", that of param")
    check_same("param", param, **others)
    if (
        step < 1
        or not (0 <= beta1 < 1 and 0 <= beta2 < 1)
        or (grad_clip_norm is not None and not grad_clip_norm > 0)
    ):
        raise InputError(
            "adam_step_ needs step >= 1, betas in 0..1 and grad_clip_norm > 0 or None; "
            f"got step={step}, beta1={beta1}, beta2={beta2}, grad_clip_norm={grad_clip_norm}"
        )
    if choose(backend, param) == "reference":
        return reference.adam_step_(
            *(param, grad, exp_avg, exp_avg_sq),
            step=step,
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            grad_clip_norm=grad_clip_norm,
        )
    for name, tensor in (("param", param), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        if not tensor.is_contiguous():
            raise InputError(
                f"{name} must be contiguous, as it is changed in place; got strides {tensor.stride()}"
            )
    clip = 0.0 if grad_clip_norm is None else grad_clip_norm
    return float(_adam(param, exp_avg, exp_avg_sq, grad, lr, beta1, beta2, eps, step, clip))


@torch.no_grad()
def knn_mean_distance(points: Tensor, k: int = 3) -> Tensor:
    """Mean distance of each point to its k nearest others; the usual start for scales.

    Args:
        points: [N, 3], float32 or float64.
        k: number of neighbours, 1 <= k < N.

    Returns:
        [N], units of ``points``, exact.

    Raises:
        InputError: a shape or ``k`` does not fit.

    Plain twin: :func:`sctd.ops.reference.knn_mean_distance`.
    """
    if points.dim() != 2 or points.shape[1] != 3:
        raise InputError(f"points must have shape [N, 3]; got {list(points.shape)}")
    check_same("points", points)
    count = points.shape[0]
    if not 1 <= k < count:
        raise InputError(f"k must be in 1..N-1, as a point has N-1 neighbours; got k={k} with N={count}")
    out = points.new_empty(count)
    # Blocks of rows keep the distance matrix at 64 MB; 100,000 points take seconds, once a run.
    rows = max(1, 2**23 // count)
    for first in range(0, count, rows):
        block = points[first : first + rows]
        distances = torch.cdist(block, points, compute_mode="donot_use_mm_for_euclid_dist")
        index = torch.arange(block.shape[0], device=points.device)
        distances[index, index + first] = torch.inf
        out[first : first + rows] = distances.topk(k, largest=False).values.mean(1)
    return out
