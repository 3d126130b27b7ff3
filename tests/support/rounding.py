"""How far a float32 evaluation may be from the exact one: a model that knows no processor's float32.

Plain torch's own float32 error is no measure of it. That error is one draw of many: the order of additions
and the vector paths differ from processor to processor, and where an element's terms cancel one draw is exact
by luck. So the definition runs in double, and every result that float32 would round is changed at random, by
at most what a rounding changes (Monte Carlo arithmetic: Parker 1997, "Monte Carlo arithmetic: exploiting
randomness in floating-point arithmetic"). Several such draws give the variance of each element, which holds
its condition: the terms that cancel in it, and how often they were rounded on the way. Double rounds 2^29
times finer than the draws, and these are seeded: the variance is the same on every machine.

Model   d is uniform within half an eps of float32 either way, which bounds a rounding, and new for each
        number. A result r becomes r (1 + d). Before it, n terms t that are added become
        t (1 + sqrt(log2 n) d): so many roundings lie above each in a balanced tree, and no order of additions
        has fewer. Each partial result of a running sum or product is rounded, and goes into all later ones.
        What moves, selects, compares or negates numbers rounds nothing.

Rule    An element may be off by 8 sqrt(v + V), and by 4 eps of the tensor's largest value. v is its variance
        from 4 draws, V the mean of v over the tensor: by luck 4 draws find next to nothing in some element.
        8 is the 6 standard deviations that a normal number exceeds twice in 10^9, times sqrt(2): another
        order of the same arithmetic, or an exponential of its own, may round twice as often.

Large   One draw of a large tensor gives no element's variance, but it gives their mean and their largest: the
        root mean square of errors is no matter of luck, and at most sqrt(2) times the model's. No error is
        more than 8 times the model's largest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

EPS = torch.finfo(torch.float32).eps
DRAWS = 4
DEVIATIONS = 8
FLOOR = 4 * EPS
"""Of the largest value: what is exact in the model, 1 - 1 say, another way to compute it may round."""

# Of torch's operators: where one that rounds is missing here, the bound is too tight, and tests fail.
ELEMENTWISE = {
    *("add", "add_", "sub", "sub_", "rsub", "mul", "mul_", "div", "div_", "reciprocal", "addcmul", "pow"),
    *("square", "sqrt", "rsqrt", "exp", "log", "sigmoid", "sigmoid_backward", "linalg_cross"),
}
SUMS = {"sum": 1, "mean": 1, "linalg_vector_norm": 2}
"""And which argument names the dimensions."""
PRODUCTS = {"mm", "bmm", "mv", "dot"}


class Rounding(TorchDispatchMode):
    """Within it doubles are rounded as float32 would be, but at random: forward and backward."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)

    def _rounded(self, exact: Tensor, roundings: float = 1.0) -> Tensor:
        """The numbers after so many roundings each."""
        many = exact.numel()
        noise = _noise(1 << max(20, (4 * many).bit_length()))
        start = int(torch.randint(len(noise) - many, (), generator=self._random))
        return torch.addcmul(
            exact, exact, noise[start : start + many].view(exact.shape), value=math.sqrt(roundings)
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, first, kwargs = func.overloadpacket.__name__, args[0] if args else None, kwargs or {}
        rounds = name in ELEMENTWISE or name in SUMS or name in PRODUCTS
        if isinstance(first, Tensor) and first.dtype == torch.float64:
            if name == "cumprod":
                return func(self._rounded(first), *args[1:], **kwargs)
            if name == "cumsum":
                sums = func(*args, **kwargs)
                return sums + func(self._rounded(sums) - sums, *args[1:], **kwargs)
            if name in SUMS or name in PRODUCTS:
                added = first.shape[-1] if name in PRODUCTS else _terms(first, args[SUMS[name] :])
                args = (self._rounded(first, math.log2(max(1, added))), *args[1:])
        out = func(*args, **kwargs)
        if not rounds or out.dtype != torch.float64:
            return out
        return out.copy_(self._rounded(out)) if name.endswith("_") else self._rounded(out)


@functools.cache
def _noise(count: int) -> Tensor:
    """Relative changes by one rounding."""
    random = torch.Generator().manual_seed(count)
    return (torch.rand(count, generator=random, dtype=torch.float64) - 0.5) * EPS


def _terms(x: Tensor, rest: tuple[Any, ...]) -> int:
    """How many numbers a sum over the dimensions in the first argument of ``rest`` adds."""
    dims = rest[0] if rest and rest[0] is not None else []
    dims = [dims] if isinstance(dims, int) else dims
    return math.prod(x.shape[d] for d in dims) if dims else x.numel()


class Truth(NamedTuple):
    """A tensor by its definition in double, and how far float32 may be off."""

    exact: Tensor
    variance: Tensor
    """Of each element in the model; its unit squared."""

    def limit(self) -> Tensor:
        """Largest error of each element."""
        return DEVIATIONS * (self.variance + self.variance.mean()).sqrt() + FLOOR * self.exact.abs().max()


def by_definition(call: Callable[[], list[Tensor]], draws: int = DRAWS) -> list[Truth]:
    """What ``call`` gives, which runs a definition in double, and gives the same whenever it is called."""
    exact = [t.detach() for t in call()]
    squares = [torch.zeros_like(t) for t in exact]
    for seed in range(draws):
        with Rounding(seed):
            found = call()
        for total, a, b in zip(squares, found, exact, strict=True):
            total += (a.detach() - b).square()
    return [Truth(t, total / draws) for t, total in zip(exact, squares, strict=True)]


def assert_rounded_alone(got: Tensor, truth: Truth, name: str = "") -> None:
    """Nothing but float32's rounding sets ``got`` apart from its definition: the rule for each element."""
    assert (got.dtype, got.shape) == (torch.float32, truth.exact.shape)
    if got.numel() == 0:
        return
    error, limit = (got.double() - truth.exact).abs(), truth.limit()
    beyond = ~(error <= limit)  # what is no number too
    at = torch.where(beyond, torch.inf, error / limit).argmax()
    value, exact, allowed = (t.flatten()[at].item() for t in (got, truth.exact, limit))
    assert not beyond.any(), (
        f"{name}: {value:.9g} at flat index {at} is {abs(value - exact):.3e} off {exact:.9g}, where float32 "
        f"may be off by {allowed:.1e}; {beyond.double().mean():.1%} of elements are beyond their limit"
    )


def assert_rounded_as_a_whole(got: Tensor, truth: Truth, name: str = "") -> None:
    """The same of a large tensor, by one draw."""
    assert (got.dtype, got.shape) == (torch.float32, truth.exact.shape)
    squares = (got.double() - truth.exact).square()
    for what, ours, model in (
        ("root mean square", squares.mean(), 2 * truth.variance.mean()),
        ("largest", squares.max(), DEVIATIONS**2 * truth.variance.max()),
    ):
        off, allowed = ours.sqrt(), model.sqrt()
        assert off <= allowed, f"{name}: {what} error {off:.2e}, where float32 has {allowed:.2e}"
