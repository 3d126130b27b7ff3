"""First-order gradients: a second derivative is an error that names the operation.

torch's once_differentiable returns a gradient without a graph where the incoming gradients have none: there
create_graph=True would silently give second derivatives of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from sctd.errors import Unsupported

Vjp = Callable[..., Any]


class _Barrier(torch.autograd.Function):
    """Between gradients and what they depend on."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        return tuple(g.view_as(g) for g in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise Unsupported(
            f'{ctx.name} has no second derivatives; use backend="reference", which has, or leave '
            "out create_graph=True"
        )


def first_order(name: str) -> Callable[[Vjp], Vjp]:
    """Decorator for the vector-Jacobian product of the operation ``name``, as autograd calls it."""

    def decorate(vjp: Vjp) -> Vjp:
        @wraps(vjp)
        def once(ctx: Any, *grads: Tensor | None) -> Any:
            with torch.no_grad():
                out = vjp(ctx, *grads)
            if not torch.is_grad_enabled():
                return out
            found = [out] if isinstance(out, Tensor) else list(out)
            at = [i for i, g in enumerate(found) if isinstance(g, Tensor)]
            causes = (t for t in (*ctx.saved_tensors, *grads) if t is not None)
            barred = _Barrier.apply(name, len(at), *(found[i] for i in at), *causes)  # type: ignore[no-untyped-call]
            for i, g in zip(at, barred, strict=True):
                found[i] = g
            return found[0] if isinstance(out, Tensor) else tuple(found)

        return once

    return decorate
