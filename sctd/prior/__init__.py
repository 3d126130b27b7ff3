"""Step 6 of 9: the frozen diffusion prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sctd.prior.base import Prior

EMBEDDED = "embedded"
"""Name of the prior that comes with the package."""

ANALYTIC = "analytic"
"""Name of the prior with a closed form, :mod:`sctd.prior.toy`: loads at once, for tests and comparisons."""


def load_prior(spec: str, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> Prior:
    """Loads a prior.

    Args:
        spec: "embedded", "analytic", a folder in diffusers' Stable Diffusion layout, a .safetensors file,
            or a hub id.
        device: torch device, e.g. "cpu" or "cuda:0".
        dtype: of network and latents; None: float32 on a CPU, float16 on a GPU.

    Raises:
        InputError: nothing is there, or it is damaged or of an unknown make; one line says what to do.
    """
    from sctd.prior.loader import load

    return load(spec, device, dtype)
