"""The fused diffusion ops against their definition on every backend; identities that hold on paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
import torch
from rounding import Truth, assert_rounded_alone, by_definition
from torch import Tensor

from sctd import ops
from sctd.errors import BackendUnavailable, InputError
from sctd.ops import ode, reference, residual, variation

SIZES = [(1, 1), (17, 23), (64, 64)]
"""Missing reductions; no multiple of any vector or block; the size of an SD latent."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")

on_every_backend = pytest.mark.parametrize(
    "backend", ["cpu", "triton-interpret", "triton-ptx", pytest.param("triton", marks=pytest.mark.gpu)]
)


@pytest.fixture(autouse=True)
def _triton_is_there(request: pytest.FixtureRequest, need: Callable[[str, bool, str], None]) -> None:
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("backend") == "triton-interpret":
        need("triton-interpret", find_spec("triton") is not None, "run `pip install triton` (Linux)")


def latents(count: int, size: tuple[int, int], batch: int = 3) -> list[Tensor]:
    g = torch.Generator().manual_seed(size[0])
    return [torch.randn(batch, 4, *size, generator=g) for _ in range(count)]


def levels(count: int, batch: int = 3) -> list[Tensor]:
    """alpha, sigma pairs with alpha^2 + sigma^2 = 1, flattened."""
    g = torch.Generator().manual_seed(9)
    out: list[Tensor] = []
    for _ in range(count):
        angle = 0.1 + 1.3 * torch.rand(batch, generator=g, dtype=torch.float64)
        out += [angle.cos().float(), angle.sin().float()]
    return out


def double(tensors: list[Tensor]) -> list[Tensor]:
    return [t.double() for t in tensors]


def pairs(flat: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


Call = Callable[..., tuple[Tensor, ...]]


class Case(NamedTuple):
    """An op with what it takes: tensors like latents, then levels or weights [B]."""

    call: Call
    """(module, latents, numbers, options) => outputs; module is sctd.ops or its reference."""
    latents: int
    numbers: int
    predicts: bool = True
    """Whether the second tensor is a network's output, of which there are three kinds."""


def _wrong(z: list[Tensor]) -> Tensor:
    return torch.stack(z[3:5], 1)


CASES: dict[str, Case] = {
    "noise": Case(lambda m, z, n, **o: (m.noise(*z, *n, **o),), 2, 2, predicts=False),
    "ode_step": Case(lambda m, z, n, **o: (m.ode_step(*z, *n, **o),), 2, 4),
    "cfg_ode_steps": Case(lambda m, z, n, **o: m.cfg_ode_steps(*z, 7.5, *pairs(n), **o), 3, 6),
    "perp_neg": Case(
        lambda m, z, n, **o: m.cfg_ode_steps(
            *z[:3], 7.5, *pairs(n[:6]), wrong=(_wrong(z), -torch.stack(n[6:], 1)), **o
        ),
        5,
        8,
    ),
    "step_residual": Case(
        lambda m, z, n, **o: m.sctd_step_residual(*z[:2], *pairs(n[:4]), *z[2:], n[4], 7.5, **o), 4, 5
    ),
    "residual": Case(lambda m, z, n, **o: m.sctd_residual(*z, n[0], 7.5, **o), 3, 1, predicts=False),
}


def inputs(name: str, size: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
    case = CASES[name]
    return latents(case.latents, size), levels((case.numbers + 1) // 2)[: case.numbers]


def kinds(name: str) -> list[dict[str, Any]]:
    return [{"prediction": p} for p in PREDICTIONS] if CASES[name].predicts else [{}]


def to(tensors: list[Tensor], backend: str) -> list[Tensor]:
    return [t.to("cuda" if backend == "triton" else "cpu") for t in tensors]


def ours(name: str, z: list[Tensor], n: list[Tensor], backend: str, **kind: Any) -> list[Tensor]:
    case = CASES[name]
    return [t.cpu() for t in case.call(ops, to(z, backend), to(n, backend), backend=backend, **kind)]


@functools.cache
def truths(name: str, size: tuple[int, int], **kind: str) -> list[Truth]:
    """By the definition, for every backend."""
    z, n = (double(t) for t in inputs(name, size))
    return by_definition(lambda: [*CASES[name].call(reference, z, n, **kind)])


@on_every_backend
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_obeys_the_definition(name: str, size: tuple[int, int], backend: str) -> None:
    z, n = inputs(name, size)
    for kind in kinds(name):
        wanted = truths(name, size, **kind)
        for got, truth in zip(ours(name, z, n, backend, **kind), wanted, strict=True):
            assert_rounded_alone(got, truth, f"{name} {kind}")
        if backend == "cpu":
            for got, truth in zip(ours(name, double(z), double(n), backend, **kind), wanted, strict=True):
                torch.testing.assert_close(got, truth.exact, rtol=1e-12, atol=1e-12)


@on_every_backend
@pytest.mark.parametrize("name", CASES)
def test_every_coefficient_counts(name: str, backend: str) -> None:
    """0.1% more on any level, weight or input of any image breaks the comparison of the test above."""
    case, (z, n) = CASES[name], inputs(name, (17, 23))
    for kind in kinds(name):
        exact = case.call(reference, double(z), double(n), **kind)
        for i in range(len(z) + len(n)):
            changed = [t.clone() for t in (*z, *n)]
            changed[i][1] *= 1.001
            got = ours(name, changed[: len(z)], changed[len(z) :], backend, **kind)
            off = max(
                float((a[1].double() - c[1]).abs().max() / c.abs().max())
                for a, c in zip(got, exact, strict=True)
            )
            assert off > 1e-5, f"{kind}: input {i}"


@on_every_backend
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_storage_alone(name: str, dtype: torch.dtype, backend: str) -> None:
    """The same numbers in float32 give the same up to the rounding of the result; also network outputs in
    half precision beside latents in float32, which is how a run mixes them."""
    z, n = inputs(name, (17, 23))
    rounded = [t.to(dtype) for t in z]
    want = ours(name, [t.float() for t in rounded], n, backend)
    eps = torch.finfo(dtype).eps
    for a, b in zip(ours(name, rounded, n, backend), want, strict=True):
        torch.testing.assert_close(a.float(), b, rtol=eps, atol=2 * eps)
    mixed = [rounded[0].float(), *rounded[1:]] if CASES[name].predicts and name != "step_residual" else None
    if mixed is not None:
        for a, b in zip(ours(name, mixed, n, backend), want, strict=True):
            assert a.dtype == torch.float32
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@on_every_backend
def test_levels_may_be_views_of_one_number(backend: str) -> None:
    """A whole batch at one timestep takes its levels out of a table, without a copy."""
    (z, out), table = latents(2, (17, 23)), torch.tensor([0.8, 0.6, 0.6, 0.8])
    views = [table[i : i + 1].expand(3) for i in range(4)]
    got = ours("ode_step", [z, out], views, backend)[0]
    want = ours("ode_step", [z, out], [v.contiguous() for v in views], backend)[0]
    assert torch.equal(got, want)


@on_every_backend
def test_perp_neg_with_a_direction_of_no_length(backend: str) -> None:
    """Conditional and null alike: nothing to project on, nothing divided by zero."""
    z, n = inputs("perp_neg", (5, 7))
    z[2] = z[1].clone()
    for a, b in zip(ours("perp_neg", z, n, backend), CASES["perp_neg"].call(reference, z, n), strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@on_every_backend
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 9), (2, 3, 9, 1), (2, 3, 17, 23), (1, 1, 64, 64)])
def test_total_variation(shape: tuple[int, ...], backend: str) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    device = "cuda" if backend == "triton" else "cpu"

    def run(images: Tensor, which: str) -> list[Tensor]:
        leaf = images.clone().requires_grad_()
        value = 2.5 * ops.total_variation(leaf, backend=which)
        value.backward()
        assert leaf.grad is not None
        return [value.detach().cpu(), leaf.grad.cpu()]

    wanted = by_definition(lambda: run(x.double(), "reference"))
    for got, truth in zip(run(x.to(device), backend), wanted, strict=True):
        assert_rounded_alone(got, truth)
    half = ops.total_variation(x.to(device, torch.bfloat16), backend=backend)
    assert half.dtype == torch.bfloat16


def test_total_variation_gradient() -> None:
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: ops.total_variation(t), x)
    with pytest.raises(InputError, match=r"images must have shape \[..., H, W\] with pixels"):
        ops.total_variation(torch.zeros(3, 0, 4))


@on_every_backend
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1.0, 2.5])  # a loss is rarely the last node
def test_sctd_loss(size: tuple[int, int], scale: float, backend: str) -> None:
    z, weight = latents(4, size), torch.tensor([0.5, 1.0, 3.0])

    def run(z: list[Tensor], weight: Tensor, which: str) -> list[Tensor]:
        leaf = z[0].clone().requires_grad_()
        loss = scale * ops.sctd_loss(leaf, *z[1:], weight, 7.5, backend=which)
        loss.sum().backward()
        assert leaf.grad is not None
        return [loss.detach().cpu(), leaf.grad.cpu()]

    wanted = by_definition(lambda: run(double(z), weight.double(), "reference"))
    got = run(to(z, backend), *to([weight], backend), backend)
    for value, truth in zip(got, wanted, strict=True):
        assert_rounded_alone(value, truth)
    residual, _ = ops.sctd_residual(*z[1:], weight, 7.5)
    torch.testing.assert_close(got[1], scale * residual)


@pytest.mark.parametrize(
    "backend",
    ["cpu", "triton-interpret", "triton-ptx", "reference", pytest.param("triton", marks=pytest.mark.gpu)],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # numpy's, in the interpreter
def test_sctd_residual_counts_what_is_not_finite(backend: str) -> None:
    z = latents(3, (4, 4))
    weight = torch.full((3,), 0.3)  # products with it are rounded, those with 1 are not
    z[0][1, 0, 0, :2] = torch.inf
    z[1][2, 3, 1, 1] = torch.nan
    _, stats = ops.sctd_residual(*to(z, backend), *to([weight], backend), 7.5, backend=backend)
    assert stats[:, 2].tolist() == [0, 2, 1]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ode_step_keeps_the_clean_latent(prediction: str) -> None:
    """S-(7): along Phi with a constant eps the clean latent does not move; Phi is its own inverse."""
    clean, eps = double(latents(2, (8, 8)))
    # v stands for both only where alpha^2 + sigma^2 = 1, to double's last digit
    start, end = (((1 - sigma * sigma).sqrt(), sigma) for _, sigma in pairs(double(levels(2))))

    def out_at(level: tuple[Tensor, Tensor]) -> Tensor:
        a, s = (t.reshape(-1, 1, 1, 1) for t in level)
        return {"epsilon": eps, "v_prediction": a * eps - s * clean, "sample": clean}[prediction]

    z = ops.noise(clean, eps, *start)
    there = ops.ode_step(z, out_at(start), *start, *end, prediction=prediction)
    torch.testing.assert_close(there, ops.noise(clean, eps, *end), rtol=1e-12, atol=1e-12)
    back = ops.ode_step(there, out_at(end), *end, *start, prediction=prediction)
    torch.testing.assert_close(back, z, rtol=1e-12, atol=1e-12)


def test_gradients() -> None:
    z = [t[:, :1, :2, :3].contiguous().requires_grad_() for t in double(latents(2, (8, 8)))]
    lv = double(levels(2))
    assert torch.autograd.gradcheck(lambda a, b: ops.noise(a, b, *lv[:2]), z)
    for prediction in PREDICTIONS:
        assert torch.autograd.gradcheck(lambda a, b, p=prediction: ops.ode_step(a, b, *lv, prediction=p), z)


@pytest.mark.parametrize("backend", ["cpu", "triton-interpret", "triton-ptx"])
def test_opcheck(backend: str) -> None:
    z, lv, weight = latents(5, (3, 5)), levels(3), torch.ones(3)
    with_grad = [t.clone().requires_grad_() for t in z]
    wrong = (torch.stack(z[3:], 1), -torch.ones(3, 2))
    torch.library.opcheck(ode._noise, (*with_grad[:2], *lv[:2], backend))
    torch.library.opcheck(ode._ode_step, (*with_grad[:2], *lv[:4], 1, backend))
    torch.library.opcheck(ode._cfg_ode_steps, (*z[:3], None, None, 7.5, lv, 0, backend))
    torch.library.opcheck(ode._cfg_ode_steps, (*z[:3], *wrong, 7.5, lv, 0, backend))
    torch.library.opcheck(residual._residual, (*z[:2], lv[:4], *z[2:4], weight, 7.5, 2, backend))
    torch.library.opcheck(residual._sctd_loss, (with_grad[0], *z[1:4], weight, 7.5, backend))
    torch.library.opcheck(variation._total_variation, (with_grad[0], backend))


@pytest.mark.parametrize("backend", ["cpu", "triton-interpret", "triton-ptx"])
def test_empty_batch(backend: str) -> None:
    z, empty = torch.zeros(0, 4, 8, 8), torch.zeros(0)
    assert ops.noise(z, z, empty, empty, backend=backend).shape == z.shape
    grad, stats = ops.sctd_residual(z, z, z, empty, 7.5, backend=backend)
    assert grad.shape == z.shape
    assert stats.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": torch.zeros(3, 4, 8, 7)}, "noise must have shape"),
        ({"alpha": torch.zeros(2)}, "alpha must have shape"),
        ({"sigma": torch.zeros(3, dtype=torch.float64)}, "sigma must be float64"),
        ({"noise": torch.zeros(3, 4, 8, 8, dtype=torch.int32)}, "noise must be of a floating type"),
        ({"backend": "fast"}, "backend must be one of"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Tensor], message: str) -> None:
    z = torch.zeros(3, 4, 8, 8)
    with pytest.raises(InputError, match=message):
        ops.noise(**{"z0": z, "noise": z, "alpha": torch.ones(3), "sigma": torch.ones(3), **change})


def test_wrong_directions_and_predictions_are_named() -> None:
    z, lv = torch.zeros(3, 4, 8, 8), pairs(levels(3))
    with pytest.raises(InputError, match="prediction must be one of epsilon, v_prediction, sample; got 'v'"):
        ops.cfg_ode_steps(z, z, z, 7.5, *lv, prediction="v")
    with pytest.raises(InputError, match="1 to 8 directions; got 9"):
        ops.cfg_ode_steps(z, z, z, 7.5, *lv, wrong=(torch.zeros(3, 9, 4, 8, 8), torch.zeros(3, 9)))
    with pytest.raises(InputError, match=r"wrong outputs must have shape \[3, 2, 4, 8, 8\]"):
        ops.cfg_ode_steps(z, z, z, 7.5, *lv, wrong=(torch.zeros(3, 3, 4, 8, 8), torch.zeros(3, 2)))


def test_triton_needs_its_interpreter_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    z, level = torch.zeros(3, 4), torch.ones(3)
    with pytest.raises(BackendUnavailable, match="needs tensors on the CUDA"):
        ops.noise(z, z, level, level, backend="triton")
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(BackendUnavailable, match="set TRITON_INTERPRET=1"):
        ops.noise(z, z, level, level, backend="triton-interpret")
