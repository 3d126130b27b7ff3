"""The device of the settings. Only :func:`resolve` loads torch, since that takes seconds."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sctd.errors import InputError

if TYPE_CHECKING:
    import torch


def resolve(name: str | torch.device) -> torch.device:
    """The torch device of that name; auto takes a CUDA device if there is one.

    Raises:
        InputError: there is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise InputError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from exc
    if device.type == "cuda":
        _refuse_missing(str(name), device.index or 0, torch.cuda.device_count())
    return device


def check(name: str) -> None:
    """Refuse a CUDA device that does not exist; as :func:`resolve`, without torch.

    Raises:
        InputError: the message gives their number.
    """
    kind, _, index = name.partition(":")
    if kind == "cuda":
        _refuse_missing(name, int(index or 0), cuda_devices() if torch_has_cuda() else 0)


def _refuse_missing(name: str, index: int, count: int) -> None:
    if index >= count:
        found = f"{count or 'no'} CUDA device{'s' if count > 1 else ''}"
        raise InputError(f"device {name}: torch finds {found} here; use --device cpu")


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
