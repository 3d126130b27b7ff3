"""Which prior a run takes when none is named. No torch here."""

from __future__ import annotations

from sctd.config.prior import EMBEDDED, SD21_BASE
from sctd.machine import device as devices


def default_prior(device: str = "auto") -> str:
    """Stable Diffusion 2.1 base where there is a GPU to run it, else the embedded prior.

    Args:
        device: of the settings; on "cpu" the embedded prior is the default on every machine.
    """
    there = device != "cpu" and devices.torch_has_cuda() and devices.cuda_devices() > 0
    return SD21_BASE if there else EMBEDDED
