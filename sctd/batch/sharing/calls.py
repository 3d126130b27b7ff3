"""Calls that runs make to a prior, how several become one, and the gradient of a joint call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sctd.prior.base import Prior

Input = Tensor | int | None
"""Tensors have the batch first; a number is a timestep for the whole batch."""


@dataclass(eq=False)
class Call:
    """A call of one of a prior's methods that work on batches."""

    kind: str
    """The method's name."""
    inputs: tuple[Input, ...]
    grad: bool = False
    """Whether the caller may need the gradient by the first input afterwards."""
    order: int = 0

    @property
    def count(self) -> int:
        """Images or latents."""
        first = self.inputs[0]
        assert isinstance(first, Tensor)
        return first.shape[0]

    @property
    def rank(self) -> int:
        """Priority: lower ones are answered first; see :meth:`.SharedPrior._next`."""
        return 2 if self.kind == "encode_images" else 0

    @cached_property
    def kin(self) -> object:
        """Equal for calls that can be joined: same method, shapes except the batch, and text if any."""
        return self.kind, self.grad, tuple(map(_form, self.inputs))

    @cached_property
    def sizes(self) -> object:
        """Equal for calls for which the libraries choose the same kernels, as far as sizes decide that."""
        layouts = tuple((x.shape, x.stride()) if isinstance(x, Tensor) else type(x) for x in self.inputs)
        return self.kind, self.grad, layouts

    @property
    def varied(self) -> bool:
        """Whether the timesteps differ inside the batch."""
        return self.kind == "predict" and isinstance(self.inputs[1], Tensor)


@dataclass(eq=False)
class Pull:
    """A run's request for its part of a joint call's vector-Jacobian product."""

    joint: Joint
    index: int
    grad: Tensor
    order: int = 0

    @property
    def rank(self) -> int:
        """Gradients by latents stand in the middle of an iteration, those by images at its end."""
        return 1 if self.joint.calls[0].kind == "encode_images" else 0

    @property
    def kin(self) -> object:
        """Equal for those of one joint call."""
        return id(self.joint)


class Joint:
    """A joint call that can be differentiated, as long as one of its runs may still need its part.

    Only the runs hold it: the graph is freed when the last of them has its gradient or, after a step with
    non-finite numbers, drops the latents.
    """

    def __init__(self, calls: Sequence[Call], leaf: Tensor, out: Tensor) -> None:
        self.calls = list(calls)
        self._graph: tuple[Tensor, Tensor] | None = (leaf, out)
        self._owed = set(range(len(calls)))

    def pull(self, grads: dict[int, Tensor]) -> dict[int, Tensor]:
        """Gradients by the first input for the runs in ``grads``, all at once; empty after :meth:`forget`."""
        if self._graph is None:
            return {}
        leaf, out = self._graph
        parts = out.split([call.count for call in self.calls])
        given = [grads.get(index, torch.zeros_like(part)) for index, part in enumerate(parts)]
        owed = self._owed - grads.keys()
        whole = given[0] if len(given) == 1 else torch.cat(given)
        (pulled,) = torch.autograd.grad(out, leaf, whole, retain_graph=bool(owed))
        self._owed = owed
        pieces = split(pulled, self.calls)
        return {index: pieces[index] for index in grads}

    def forget(self) -> None:
        """Drop the graph, which is half freed after a pass that ran out of memory."""
        self._graph = None

    def pull_again(self, prior: Prior, index: int, grad: Tensor) -> Tensor:
        """One run's gradient, from a new call of this run alone."""
        leaf, out = forward(prior, self.calls[index])
        return torch.autograd.grad(out, leaf, grad)[0]


def join(calls: Sequence[Call]) -> Call:
    """The call that computes the results of all of these."""
    if len(calls) == 1:
        return calls[0]
    counts = [call.count for call in calls]
    columns = zip(*(call.inputs for call in calls), strict=True)
    return Call(calls[0].kind, tuple(_column(column, counts) for column in columns), calls[0].grad)


def split(whole: Tensor, calls: Sequence[Call]) -> list[Tensor]:
    """A joint result's parts, each in its own memory, like the result of a separate call."""
    if len(calls) == 1:
        return [whole]
    return [part.clone() for part in whole.split([call.count for call in calls])]


def forward(prior: Prior, call: Call) -> tuple[Tensor, Tensor]:
    """Make a call: the leaf to differentiate by, when it has one, and the result."""
    method, (first, *others) = getattr(prior, call.kind), call.inputs
    assert isinstance(first, Tensor)
    leaf = first.detach().requires_grad_(call.grad)
    with torch.set_grad_enabled(call.grad):
        return leaf, method(leaf, *others)


def same_bits(prior: Prior, calls: Sequence[Call]) -> bool:
    """Whether the joint call and the separate ones agree in every bit, gradients included."""
    joint = _outcome(prior, join(calls))
    separate = zip(*(_outcome(prior, call) for call in calls), strict=True)
    return all(
        torch.equal(_bits(whole), _bits(torch.cat(parts)))
        for whole, parts in zip(joint, separate, strict=True)
    )


def stands_alone(text: Tensor) -> bool:
    """Whether embeddings [B, L, D] are one text for the whole batch, all rows being the same memory."""
    return text.shape[0] == 1 or text.stride(0) == 0


def _form(x: Input) -> object:
    if not isinstance(x, Tensor):
        return type(x)
    # a prior may cache its results for a text that does not change: see sctd.prior.attention.TextCache
    text = x.data_ptr() if x.dim() == 3 and stands_alone(x) else None
    return x.shape[1:], x.dtype, text


def _column(column: tuple[Any, ...], counts: Sequence[int]) -> Input:
    """One input of a joint call."""
    first: Input = column[0]
    if first is None or (isinstance(first, int) and all(t == first for t in column)):
        return first
    if isinstance(first, int):
        return torch.tensor(column).repeat_interleave(torch.tensor(counts))
    if first.dim() == 3 and stands_alone(first):
        return first[:1].expand(sum(counts), -1, -1)
    return torch.cat(column)


def _outcome(prior: Prior, call: Call) -> tuple[Tensor, ...]:
    """The result and, if the call has one, a gradient, with the result as its vector."""
    leaf, out = forward(prior, call)
    if not call.grad:
        return (out,)
    return out.detach(), torch.autograd.grad(out, leaf, out.detach())[0]


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8)
