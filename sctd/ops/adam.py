"""One fused Adam step over all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.machine import transfer
from sctd.ops import reference
from sctd.ops._backend import choose, cuda_module, native
from sctd.ops._checks import addresses, addresses_for, check_same, check_shape, stream_of

MAX_GROUPS = 8
"""Of one step: kMaxAdamGroups in csrc/cuda/kernels.h."""


class AdamGroup(NamedTuple):
    """One kind of parameter: four tensors of one shape [N, ...] and dtype."""

    param: Tensor
    """Changed in place, contiguous."""
    grad: Tensor
    exp_avg: Tensor
    """First moment; changed in place, contiguous."""
    exp_avg_sq: Tensor
    """Second moment; changed in place, contiguous."""


def adam_schedule(
    lrs: Sequence[float],
    *,
    step: int,
    beta1: float,
    beta2: float,
    grad_clip_norm: float | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """What changes from step to step, as :func:`adam_step_` reads it: on the device, so that nothing waits.

    A CUDA graph that has captured a step is replayed with new numbers by copying another schedule over its
    own.

    Args:
        lrs: learning rate of each group, in units of its parameter.
        step: 1 for the first step; sets the bias correction.
        beta1, beta2: decay of the two moments, 0..1 (1 excluded).
        grad_clip_norm: each group's gradient is scaled down to this 2-norm first; None: not at all.

    Returns:
        [groups + 2] float64: lr / (1 - beta1^step) of each, sqrt(1 - beta2^step), the largest norm.

    Raises:
        InputError: a number does not fit; the message names it.
    """
    if (
        step < 1
        or not (0 <= beta1 < 1 and 0 <= beta2 < 1)
        or (grad_clip_norm is not None and not grad_clip_norm > 0)
    ):
        raise InputError(
            "adam needs step >= 1, betas in 0..1 and grad_clip_norm > 0 or None; "
            f"got step={step}, beta1={beta1}, beta2={beta2}, grad_clip_norm={grad_clip_norm}"
        )
    largest = math.inf if grad_clip_norm is None else grad_clip_norm
    numbers = [*(lr / (1 - beta1**step) for lr in lrs), math.sqrt(1 - beta2**step), largest]
    return transfer.to_device(torch.tensor(numbers, dtype=torch.float64), device)


@torch.library.custom_op(
    "sctd::adam", mutates_args=("params", "exp_avgs", "exp_avg_sqs"), device_types=("cpu", "cuda")
)
def _adam(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    watched: Tensor | None,
    schedule: Tensor,
    visible: Tensor | None,
    skip: Tensor | None,
    beta1: float,
    beta2: float,
    eps: float,
    backend: str,
) -> Tensor:
    """=> the gradients' norms before clipping, [groups, and 1 where watched] float64."""
    grads = [g.contiguous() for g in grads]  # named: they must outlive the calls below
    watched = None if watched is None else watched.contiguous()
    groups: list[tuple[Tensor, ...]] = list(zip(params, exp_avgs, exp_avg_sqs, grads, strict=True))
    sizes = [(p.numel(), p.shape[1:].numel()) for p in params]
    if backend == "cpu":
        return _adam_cpu(groups, sizes, watched, schedule, visible, skip, (beta1, beta2, eps))
    module = cuda_module(backend)
    others = [] if watched is None else [watched]
    norms = schedule.new_empty(len(groups) + len(others))
    scratch = torch.empty(module.adam_scratch(len(norms)), dtype=torch.uint8, device=schedule.device)
    flat = [t for group in groups for t in group] + others
    at = addresses_for(module, *flat, schedule, visible, skip, norms, scratch)
    with stream_of(schedule) as stream:
        module.adam(sizes, -1 if watched is None else watched.numel(), beta1, beta2, eps, at, stream)
    return norms


def _adam_cpu(
    groups: list[tuple[Tensor, ...]],
    sizes: list[tuple[int, int]],
    watched: Tensor | None,
    schedule: Tensor,
    visible: Tensor | None,
    skip: Tensor | None,
    constants: tuple[float, float, float],
) -> Tensor:
    *rates, root, largest = schedule.tolist()
    f64 = groups[0][0].dtype == torch.float64
    grads = [tensors[3] for tensors in groups] + ([] if watched is None else [watched])
    norms = [native().gradient_norm(f64, grad.numel(), addresses(grad)) for grad in grads]
    if all(map(math.isfinite, norms)) and not (skip is not None and bool(skip)):
        for tensors, size, rate, norm in zip(groups, sizes, rates, norms[: len(groups)], strict=True):
            clip = min(1.0, largest / (norm + 1e-6))  # as torch.nn.utils.clip_grad_norm_
            native().adam(f64, *size, rate, root, *constants, clip, addresses(*tensors, visible))
    return torch.tensor(norms, dtype=torch.float64)


@_adam.register_fake
def _(
    params: Sequence[Tensor], grads: object, m: object, v: object, watched: object, *rest: object
) -> Tensor:
    return params[0].new_empty(len(params) + (watched is not None), dtype=torch.float64)


@torch.no_grad()
def adam_step_(
    groups: Sequence[AdamGroup],
    schedule: Tensor,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    visible: Tensor | None = None,
    skip: Tensor | None = None,
    watched: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """One Adam step over all groups, in place; on CUDA nothing waits.

    Where any gradient holds a number that is not finite nothing changes at all; the norms tell.

    Args:
        groups: 1 to 8, all float32 or all float64 (CUDA: float32), on one device.
        schedule: :func:`adam_schedule` with as many rates as there are groups, on the same device.
        beta1, beta2: decay of the two moments, 0..1 (1 excluded), those of the schedule.
        eps: added to the root of the second moment.
        visible: [N] bool, N the length of every group: rows that are False keep parameter and moments as
            they are (a sparse step); None: all rows change.
        skip: one bool: nothing changes where it is True, for example ``meta["pairs_needed"] > capacity``.
        watched: one more gradient, of what lies between the loss and the groups, any shape, their dtype.
        backend: "auto", "cpu", "cuda", "reference"; for tests "cuda-simt" and "cuda-ptx".

    Returns:
        The 2-norm of each group's gradient before clipping, and last that of ``watched``, [groups (+ 1)]
        float64, not finite where an element is not.

    Raises:
        InputError: a shape, dtype, device or layout does not fit; the message names it.

    Plain twin: :func:`sctd.ops.reference.adam_step_`.
    Source: Kingma and Ba 2015, algorithm 1; eps placed as in torch.optim.Adam. Sparse by visibility: Mallick
    et al. 2024, "Taming 3DGS".
    """
    groups = [AdamGroup(*group) for group in groups]
    _check_groups(groups, schedule, visible, skip)
    if watched is not None:
        check_same("param of group 0", groups[0].param, watched=watched)
    chosen = choose(backend, groups[0].param, ("cpu", "cuda", "cuda-simt", "cuda-ptx"))
    if chosen == "reference":
        return reference.adam_step_(
            groups, schedule, beta1=beta1, beta2=beta2, eps=eps, visible=visible, skip=skip, watched=watched
        )
    params, grads, exp_avgs, exp_avg_sqs = (list(column) for column in zip(*groups, strict=True))
    norms: Tensor = _adam(
        params, grads, exp_avgs, exp_avg_sqs, watched, schedule, visible, skip, beta1, beta2, eps, chosen
    )
    return norms


def _check_groups(
    groups: list[AdamGroup], schedule: Tensor, visible: Tensor | None, skip: Tensor | None
) -> None:
    if not 1 <= len(groups) <= MAX_GROUPS:
        raise InputError(f"adam_step_ takes 1 to {MAX_GROUPS} groups; got {len(groups)}")
    first = groups[0].param
    for i, group in enumerate(groups):
        name = f"param of group {i}"
        others = {"grad": group.grad, "exp_avg": group.exp_avg, "exp_avg_sq": group.exp_avg_sq}
        for other, tensor in others.items():
            check_shape(other, tensor, tuple(group.param.shape), meaning=f", that of the {name}")
        check_same(name, group.param, **others)
        check_same("param of group 0", first, **{name: group.param})
        for other, tensor in (("param", group.param), *list(others.items())[1:]):
            if not tensor.is_contiguous():
                raise InputError(
                    f"{other} of group {i} must be contiguous, as it is changed in place; "
                    f"got strides {tensor.stride()}"
                )
        if visible is not None and (group.param.dim() == 0 or group.param.shape[0] != visible.shape[0]):
            raise InputError(
                f"visible must have an entry for each row of the {name}, {list(group.param.shape)}; "
                f"got {list(visible.shape)}"
            )
    check_shape("schedule", schedule, (len(groups) + 2,), meaning=", made by adam_schedule")
    if not schedule.is_contiguous():
        raise InputError(f"schedule must be contiguous; got strides {schedule.stride()}")
    for name, control, dtype in (
        ("schedule", schedule, torch.float64),
        ("visible", visible, torch.bool),
        ("skip", skip, torch.bool),
    ):
        if control is not None and (control.dtype != dtype or control.device != first.device):
            raise InputError(
                f"{name} must be {dtype} on {first.device}, where the parameters are; "
                f"got {control.dtype} on {control.device}"
            )
    if visible is not None and (visible.dim() != 1 or not visible.is_contiguous()):
        raise InputError(f"visible must be contiguous with shape [N]; got {list(visible.shape)}")
    if skip is not None and skip.numel() != 1:
        raise InputError(f"skip must be one bool; got shape {list(skip.shape)}")
