"""The rasterizer's short way in eager mode against torch.library's ops, and who must get which."""

from __future__ import annotations

import pytest
import torch
from raster_scenes import make_scene
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sctd.ops import _raster_eager, rasterization


def _gradients(absgrad: bool) -> list[Tensor]:
    s = make_scene(40, 40, 30, 2, seed=8).to(torch.float32)
    leaves = [t.detach().requires_grad_() for t in (*s[:5], s.viewmats)]
    background = torch.rand(2, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    renders, _, meta = rasterization(
        *leaves[:5], leaves[5], s.Ks, 40, 30, backgrounds=background, render_mode="RGB+D", absgrad=absgrad
    )
    meta["means2d"].retain_grad()
    (renders * torch.linspace(-1, 1, renders.numel()).view(renders.shape)).sum().backward()
    found = [renders, meta["means2d"].grad, *(t.grad for t in (*leaves, background))]
    return [*found, meta["means2d"].absgrad] if absgrad else found


@pytest.mark.parametrize("absgrad", [False, True])
def test_same_numbers_either_way(monkeypatch: pytest.MonkeyPatch, absgrad: bool) -> None:
    direct = _gradients(absgrad)
    monkeypatch.setattr(_raster_eager, "is_eager", lambda *tensors: False)
    for a, b in zip(direct, _gradients(absgrad), strict=True):
        assert torch.equal(a, b), "seed 8"


def test_gradient_of_alphas_or_meta_alone() -> None:
    s = make_scene(10, 20, 18, 1, seed=3).to(torch.float32)
    for pick in (1, 2):
        means = s.means.detach().requires_grad_()
        out = rasterization(means, *s[1:5], s.viewmats, s.Ks, 20, 18)
        (out[1] if pick == 1 else out[2]["depths"]).sum().backward()
        assert means.grad is not None
        assert means.grad.abs().sum() > 0


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("name", ["means", "quats", "scales", "opacities", "colors", "viewmats"])
def test_the_gradient_of_a_gradient_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(_raster_eager, "is_eager", lambda *tensors: False)
    s = make_scene(10, 20, 18, 2, seed=4, bases=4).to(torch.float32)
    picture, _, _ = rasterization(*s, sh_degree=1)
    (first,) = torch.autograd.grad(picture.mean(), getattr(s, name), create_graph=True)
    assert first.abs().sum() > 0
    with pytest.raises(NotImplementedError, match="rasterization has no second derivatives"):
        torch.autograd.grad(first.square().sum(), s.means)
    again, _, _ = rasterization(*s, sh_degree=1)
    (plain,) = torch.autograd.grad(again.mean(), getattr(s, name))
    assert torch.equal(first, plain)
    assert not plain.requires_grad


def test_the_definition_has_gradients_of_gradients() -> None:
    s = make_scene(4, 6, 5, 1, seed=1, size=0.8, opacity=-0.5).to(torch.float64)
    picture, _, _ = rasterization(*s, backend="reference")
    (first,) = torch.autograd.grad(picture.mean(), s.means, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), s.means)
    assert second.abs().sum() > 0


def test_a_mode_sees_the_ops() -> None:
    class Names(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.seen.add(str(func))
            return func(*args, **(kwargs or {}))

    s = make_scene(5, 20, 18, 1, seed=3).to(torch.float32)
    with Names() as names, torch.no_grad():
        rasterization(*s[:5], s.viewmats, s.Ks, 20, 18)
    assert {"sctd.project.default", "sctd.tile_lists.default", "sctd.blend.default"} <= names.seen
    assert _raster_eager.is_eager(s.means)
    assert not _raster_eager.is_eager(torch.Tensor._make_subclass(_Marked, s.means))


class _Marked(Tensor):
    """A subclass, as fake tensors are."""
