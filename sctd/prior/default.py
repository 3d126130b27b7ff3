"""Which prior a run takes when none is named. No torch here: loading it only to say no would take seconds."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path

from sctd.config.prior import EMBEDDED, SD21_BASE


def default_prior(device: str = "auto") -> str:
    """Stable Diffusion 2.1 base where there is a GPU to run it, else the embedded prior.

    Args:
        device: of the settings; on "cpu" the embedded prior is the default on every machine.
    """
    return SD21_BASE if device != "cpu" and torch_has_cuda() and cuda_devices() > 0 else EMBEDDED


def torch_has_cuda() -> bool:
    """Whether the installed torch is built for CUDA, read from its version file."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]", text, re.M) is not None


def cuda_devices() -> int:
    """Number of devices that the CUDA driver shows, CUDA_VISIBLE_DEVICES honoured; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        found = ctypes.c_int()
        working = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(found)) == 0
    except (OSError, AttributeError):
        return 0
    return found.value if working else 0
