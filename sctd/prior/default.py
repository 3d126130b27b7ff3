"""The default prior of a run. Loads no torch."""

from __future__ import annotations

from sctd.config.prior import EMBEDDED, SD21_BASE
from sctd.machine import device as devices


def default_prior(device: str = "auto") -> str:
    """Stable Diffusion 2.1 base on a machine with a GPU, else the embedded prior.

    Args:
        device: of the settings; on "cpu" the embedded prior is the default on every machine.
    """
    there = device != "cpu" and devices.torch_has_cuda() and devices.cuda_devices() > 0
    return SD21_BASE if there else EMBEDDED
