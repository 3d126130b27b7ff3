"""Operations whose gradient is written by hand: who asks for the gradient of that is told."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from sctd.ops.activation import activate
from sctd.ops.images import views
from sctd.ops.residual import sctd_loss
from sctd.ops.variation import total_variation

ONE = torch.ones(1, 4, 3, 3)
TRITON = {"backend": "triton-interpret"}

OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "total_variation": (lambda x: total_variation(x, backend="cpu"), (1, 1, 4, 5)),
    "sctd_loss": (
        lambda x: sctd_loss(x, ONE, 2 * ONE, 3 * ONE, torch.ones(1), 2.0, backend="cpu").sum(),
        (1, 4, 3, 3),
    ),
    "views": (lambda x: views(x, torch.ones(1, 4, 4, 1), **TRITON)[0].sum(), (1, 4, 4, 4)),
    "activate": (
        lambda x: activate(x, torch.zeros(5), torch.zeros(5, 1, 3), torch.zeros(5, 3, 3), **TRITON)[0].sum(),
        (5, 3),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_gradient_of_a_gradient_is_refused_by_name(
    name: str, need: Callable[[str, bool, str], None]
) -> None:
    if name in ("views", "activate"):
        need("triton-interpret", find_spec("triton") is not None, "run `pip install triton` (Linux)")
    operation, shape = OPERATIONS[name]
    x = torch.rand(shape, generator=torch.Generator().manual_seed(3)).requires_grad_()
    (first,) = torch.autograd.grad(operation(x), x, create_graph=True)
    with pytest.raises(NotImplementedError, match=f"{name} has no second derivatives"):
        torch.autograd.grad(first.square().sum(), x)
    (plain,) = torch.autograd.grad(operation(x), x)
    assert torch.equal(first, plain)
