"""Compares a native backend on this machine with its definition; for `sctd doctor --verify`."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.ops.rasterize import rasterization

IMAGE_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
"""Against double: of the picture, absolute; of a gradient, over its largest value. Float32 is ten times
closer on the scene below, in which no pixel stands on a threshold."""


def _scene() -> tuple[Tensor, ...]:
    """Arguments of rasterization up to Ks, double, on the CPU: 60 wide, faint Gaussians before two cameras,
    where the function is smooth."""
    g = torch.Generator().manual_seed(0)
    means = 0.5 * torch.randn(60, 3, generator=g)
    quats, colors = torch.randn(60, 4, generator=g), 0.3 * torch.randn(60, 9, 3, generator=g)
    scales = 0.3 + 0.2 * torch.rand(60, 3, generator=g)
    opacities = 0.02 + 0.1 * torch.rand(60, generator=g)
    viewmats = torch.eye(4).repeat(2, 1, 1)
    viewmats[:, 2, 3] = 3.0
    viewmats[1, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    Ks = torch.tensor([[40.0, 0, 20.5], [0, 42.0, 17.0], [0, 0, 1]]).repeat(2, 1, 1)
    return tuple(t.double() for t in (means, quats, scales, opacities, colors, viewmats, Ks))


def _values(backend: str, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Picture and gradients, on the CPU."""
    tensors = [t.to(device, dtype) for t in _scene()]
    means, quats, scales, opacities, colors, viewmats = leaves = [t.requires_grad_() for t in tensors[:6]]
    renders, alphas, _ = rasterization(
        means,
        quats,
        scales,
        opacities,
        colors,
        viewmats,
        tensors[6],
        width=41,
        height=35,
        sh_degree=2,
        backend=backend,
    )
    weight = torch.linspace(-1, 1, renders.numel(), dtype=dtype, device=device).reshape(renders.shape)
    ((renders * weight).sum() + alphas.sum()).backward()
    return [renders.detach().cpu(), *(t.grad.cpu() for t in leaves if t.grad is not None)]


def verify_backend(backend: str) -> tuple[bool, str]:
    """Render with a backend, forward and backward, and compare with the definition in double.

    Args:
        backend: "cpu", "cuda" or "cuda-simt".

    Returns:
        Whether it agrees, and the errors.

    Raises:
        BackendUnavailable: it cannot run here.
    """
    got = _values(backend, torch.float32, "cuda" if backend == "cuda" else "cpu")
    want = _values("reference", torch.float64, "cpu")
    image = float((got[0] - want[0]).abs().max())
    gradient = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(got[1:], want[1:], strict=True))
    right = image <= IMAGE_TOLERANCE and gradient <= GRADIENT_TOLERANCE
    errors = f"picture off by {image:.1e} (allowed {IMAGE_TOLERANCE:.0e})"
    return right, f"{errors}, gradients by {gradient:.1e} (allowed {GRADIENT_TOLERANCE:.0e})"
