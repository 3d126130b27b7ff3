"""The fused diffusion ops against their definition; identities that hold on paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from raster_scenes import assert_error_at_most_twice
from torch import Tensor

from sctd import ops
from sctd.errors import InputError
from sctd.ops import ode, reference

SIZES = [
    (1, 1),
    (17, 23),
    (64, 64),
]  # missing reductions; no multiple of any vector; the size of an SD latent


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


@pytest.mark.parametrize("size", SIZES)
def test_noise_and_ode_step(size: tuple[int, int]) -> None:
    cases: list[tuple[Callable[..., Tensor], Callable[..., Tensor], int]] = [
        (ops.noise, reference.noise, 1),
        (ops.ode_step, reference.ode_step, 2),
    ]
    for got, plain, count in cases:
        z, lv = latents(2, size), levels(count)
        assert_error_at_most_twice(got(*z, *lv), plain(*z, *lv), plain(*double(z), *double(lv)))
        torch.testing.assert_close(
            got(*double(z), *double(lv)), plain(*double(z), *double(lv)), rtol=1e-14, atol=1e-14
        )
        assert torch.equal(got(*z, *lv, backend="reference"), plain(*z, *lv))


@pytest.mark.parametrize("size", SIZES)
def test_cfg_ode_steps(size: tuple[int, int]) -> None:
    z, lv = latents(3, size), levels(3)
    got = ops.cfg_ode_steps(*z, 7.5, *pairs(lv))
    plain = reference.cfg_ode_steps(*z, 7.5, *pairs(lv))
    exact = reference.cfg_ode_steps(*double(z), 7.5, *pairs(double(lv)))
    for a, b, c in zip(got, plain, exact, strict=True):
        assert_error_at_most_twice(a, b, c)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1.0, 2.5])  # a loss is rarely the last node
def test_sctd_loss(size: tuple[int, int], scale: float) -> None:
    z, weight = latents(4, size), torch.tensor([0.5, 1.0, 3.0])
    got_in, plain_in = z[0].clone().requires_grad_(), z[0].clone().requires_grad_()
    exact_in = z[0].double().requires_grad_()
    got = scale * ops.sctd_loss(got_in, *z[1:], weight, 7.5)
    plain = scale * reference.sctd_loss(plain_in, *z[1:], weight, 7.5)
    exact = scale * reference.sctd_loss(exact_in, *double(z[1:]), weight.double(), 7.5)
    for loss in (got, plain, exact):
        loss.sum().backward()
    assert_error_at_most_twice(got, plain, exact)
    assert got_in.grad is not None
    assert plain_in.grad is not None
    assert exact_in.grad is not None
    assert_error_at_most_twice(got_in.grad, plain_in.grad, exact_in.grad)
    residual, _ = ops.sctd_residual(*z[1:], weight, 7.5)
    torch.testing.assert_close(got_in.grad, scale * residual)


@pytest.mark.parametrize("size", SIZES)
def test_sctd_residual(size: tuple[int, int]) -> None:
    z, weight = latents(3, size), torch.tensor([0.5, 1.0, 3.0])
    got, stats = ops.sctd_residual(*z, weight, 7.5)
    plain, plain_stats = reference.sctd_residual(*z, weight, 7.5)
    exact, exact_stats = reference.sctd_residual(*double(z), weight.double(), 7.5)
    assert_error_at_most_twice(got, plain, exact)
    assert_error_at_most_twice(stats, plain_stats, exact_stats)
    assert stats[:, 2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_sctd_residual_counts_what_is_not_finite(backend: str) -> None:
    z, weight = latents(3, (4, 4)), torch.ones(3)
    z[0][1, 0, 0, :2] = torch.inf
    z[1][2, 3, 1, 1] = torch.nan
    _, stats = ops.sctd_residual(*z, weight, 7.5, backend=backend)
    assert stats[:, 2].tolist() == [0, 2, 1]


def test_ode_step_keeps_the_clean_latent() -> None:
    """S-(7): along Phi with a constant eps the clean latent does not move; Phi is its own inverse."""
    z, eps = double(latents(2, (8, 8)))
    start, end = pairs(double(levels(2)))
    there = ops.ode_step(z, eps, *start, *end)
    clean = (z - start[1].reshape(-1, 1, 1, 1) * eps) / start[0].reshape(-1, 1, 1, 1)
    torch.testing.assert_close(there, ops.noise(clean, eps, *end), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ops.ode_step(there, eps, *end, *start), z, rtol=1e-12, atol=1e-12)


def test_gradients() -> None:
    z = [t[:, :1, :2, :3].contiguous().requires_grad_() for t in double(latents(2, (8, 8)))]
    lv = double(levels(2))
    assert torch.autograd.gradcheck(lambda a, b: ops.noise(a, b, *lv[:2]), z)
    assert torch.autograd.gradcheck(lambda a, b: ops.ode_step(a, b, *lv), z)


def test_opcheck() -> None:
    z, lv, weight = latents(4, (3, 5)), levels(3), torch.ones(3)
    with_grad = [t.clone().requires_grad_() for t in z]
    torch.library.opcheck(ode._noise, (*with_grad[:2], *lv[:2]))
    torch.library.opcheck(ode._ode_step, (*with_grad[:2], *lv[:4]))
    torch.library.opcheck(ode._cfg_ode_steps, (*z[:3], 7.5, lv))
    torch.library.opcheck(ode._residual, (*z[:3], weight, 7.5))
    torch.library.opcheck(ode._sctd_loss, (with_grad[0], *z[1:], weight, 7.5))


def test_empty_batch() -> None:
    z, empty = torch.zeros(0, 4, 8, 8), torch.zeros(0)
    assert ops.noise(z, z, empty, empty).shape == z.shape
    grad, stats = ops.sctd_residual(z, z, z, empty, 7.5)
    assert grad.shape == z.shape
    assert stats.shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": torch.zeros(3, 4, 8, 7)}, "noise must have shape"),
        ({"alpha": torch.zeros(2)}, "alpha must have shape"),
        ({"sigma": torch.zeros(3, dtype=torch.float64)}, "sigma must have the dtype of z0"),
        ({"backend": "fast"}, "backend must be one of"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Tensor], message: str) -> None:
    z = torch.zeros(3, 4, 8, 8)
    with pytest.raises(InputError, match=message):
        ops.noise(**{"z0": z, "noise": z, "alpha": torch.ones(3), "sigma": torch.ones(3), **change})
