"""The tolerance rule itself: the model rounds as float32 does, and an error of a thousandth is found."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import pytest
import test_adam
import test_ode
import test_rasterize
import torch
from raster_scenes import make_scene
from rounding import Truth, assert_rounded_alone, assert_rounded_as_a_whole, by_definition
from torch import Tensor

Call = Callable[[Tensor, Tensor], Tensor]


def halves(terms: Tensor) -> Tensor:
    """Their sum over the last dimension, in a balanced tree, the same on every processor."""
    while terms.shape[-1] > 1:
        terms = terms[..., ::2] + terms[..., 1::2]
    return terms[..., 0]


def one_by_one(terms: Tensor, step: Call) -> Tensor:
    """Their running sums or products; torch's own are in double before they are rounded."""
    return torch.stack([*accumulate(terms.unbind(-1), step)], -1)


# Of two tensors [300, 64], the second with every sign: the definition, and what float32 computes.
CALLS: dict[str, tuple[Call, Call]] = {
    "product": (lambda a, b: a * b,) * 2,
    "polynomial": (lambda a, b: (a * b + a).square() - b,) * 2,
    "exponential": (lambda a, b: torch.exp(-a) / (a + 1),) * 2,
    "sum": (lambda a, b: (a * b).sum(1), lambda a, b: halves(a * b)),
    "matrix product": (lambda a, b: a @ b.T, lambda a, b: halves(a[:, None] * b)),
    "norm": (lambda a, b: b.norm(dim=1), lambda a, b: halves(b * b).sqrt()),
    "running sum": (lambda a, b: (a * b).cumsum(1), lambda a, b: one_by_one(a * b, torch.add)),
    "running product": (lambda a, b: (1 - a / 2).cumprod(1), lambda a, b: one_by_one(1 - a / 2, torch.mul)),
}


def inputs() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.rand(300, 64, generator=g), torch.randn(300, 64, generator=g)


@pytest.mark.parametrize("name", CALLS)
def test_the_model_rounds_as_float32_does(name: str) -> None:
    """Over hundreds of elements float32's errors are no matter of luck, and within the rule's sqrt(2)."""
    (a, b), (definition, computed) = inputs(), CALLS[name]
    (truth,) = by_definition(lambda: [definition(a.double(), b.double())])
    got = computed(a, b)
    ratio = ((got.double() - truth.exact).square().mean() / truth.variance.mean()).sqrt().item()
    assert 0.3 < ratio < 2**0.5
    assert_rounded_alone(got, truth)
    assert_rounded_as_a_whole(got, truth)


def test_gradients_are_rounded_too() -> None:
    def gradient() -> list[Tensor]:
        leaves = [t.double().requires_grad_() for t in inputs()]
        torch.exp(leaves[0] * leaves[1]).sum().backward()
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    truths = by_definition(gradient)
    assert all((truth.variance > 0).double().mean() > 0.99 for truth in truths)


def test_what_moves_or_selects_is_exact() -> None:
    a, b = (t.double() for t in inputs())
    moved = by_definition(lambda: [torch.cat([a, -b]).flip(0)[::2].clamp(min=0.1), torch.where(a > b, a, b)])
    assert not any(truth.variance.any() for truth in moved)


def rasterized() -> tuple[list[Tensor], list[Truth]]:
    scene = make_scene(60, 33, 20, seed=4)
    decided, truths = test_rasterize.case_of(scene)
    return [*test_rasterize.run(scene, torch.float32, "cpu", decided).values()], truths


def opaque() -> tuple[list[Tensor], list[Truth]]:
    scene, options = make_scene(80, 17, 23, seed=6, size=0.4, opacity=3.0, bases=4), {"sh_degree": 1}
    decided, truths = test_rasterize.case_of(scene, **options)
    return [*test_rasterize.run(scene, torch.float32, "cpu", decided, **options).values()], truths


def stepped() -> tuple[list[Tensor], list[Truth]]:
    *got, norms = test_adam.run_steps(torch.float32, "cpu", 2.0)
    moved = len(test_adam.SHAPES) * 3
    return [*got, norms][:moved], test_adam.truths(2.0, False)[:moved]


def diffused(name: str) -> Callable[[], tuple[list[Tensor], list[Truth]]]:
    def both() -> tuple[list[Tensor], list[Truth]]:
        size, kind = (17, 23), test_ode.kinds(name)[0]
        return test_ode.ours(name, *test_ode.inputs(name, size), "cpu", **kind), test_ode.truths(
            name, size, **kind
        )

    return both


GOT = {"rasterizer": rasterized, "opaque layers": opaque, "adam": stepped}
GOT |= {name: diffused(name) for name in test_ode.CASES}


@pytest.mark.parametrize("name", GOT)
def test_a_thousandth_is_found(name: str) -> None:
    """0.1% more of one column of any output or gradient; and of all, by the rule for large tensors."""
    got, truths = GOT[name]()
    for i, (value, truth) in enumerate(zip(got, truths, strict=True)):
        assert_rounded_alone(value, truth, f"output {i}")
        columns = value.movedim(-1, 0) if value.dim() > 1 else value.reshape(1, -1)
        for c, column in enumerate(columns):
            if column.any() and column.abs().max() > 0.1 * value.abs().max():
                wrong = value.clone()
                (wrong.movedim(-1, 0) if value.dim() > 1 else wrong.view(1, -1))[c] *= 1.001
                with pytest.raises(AssertionError, match="where float32 may be off"):
                    assert_rounded_alone(wrong, truth, f"output {i}, column {c}")
        with pytest.raises(AssertionError, match="where float32 has"):
            assert_rounded_as_a_whole(value * 1.001, truth)
    broken = got[0].clone()
    broken.view(-1)[0] = torch.nan
    with pytest.raises(AssertionError, match="output: nan"):
        assert_rounded_alone(broken, truths[0], "output")
