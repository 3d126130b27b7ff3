"""Step 6 of 9: the frozen diffusion prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sctd.config import Config
    from sctd.config.prior import PriorSettings
    from sctd.prior.base import Prior


def load_prior(
    spec: str | PriorSettings, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Prior:
    """Loads a prior.

    Args:
        spec: "embedded", "analytic", a folder in diffusers' Stable Diffusion layout, a .safetensors file,
            or a hub id; or the settings of a run, with the adapters and the way it runs.
        device: torch device, e.g. "cpu" or "cuda:0".
        dtype: of the networks and the embeddings, latents are float32 at least; None: float32 on a CPU,
            float16 on a GPU.

    Raises:
        InputError: it is missing, damaged or of an unknown kind; one line with the remedy.
    """
    from sctd.prior.load.loader import load

    return load(spec, device, dtype)


def check_card(config: Config) -> None:
    """Refuse a run of which a stage does not fit the card.

    Raises:
        InputError: it does not fit, its prior cannot be found or read, or the device is not there.
    """
    from sctd.machine import device as devices

    device = devices.resolve(config.device)
    for part in config.parts():
        if device.type == "cuda" or part.prior.card_gib is not None:
            from sctd.prior import card_memory

            card_memory.check(part, device)


def prior_of(config: Config) -> Prior:
    """The prior of a run's settings, once it is known to fit the card; several runs may share it.

    Raises:
        InputError: it cannot be found or read, does not fit, or the device is not there.
    """
    import torch

    from sctd.machine import device as devices

    check_card(config)
    device = devices.resolve(config.device)
    return load_prior(config.prior, device, None if config.dtype == "auto" else getattr(torch, config.dtype))
