"""The one place that decides which native code serves a tensor: (device, wish) => backend name."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from sctd.errors import BackendUnavailable, InputError

BACKENDS = ("auto", "cpu", "reference")


@lru_cache(maxsize=1)
def native() -> ModuleType:
    """The compiled core, loaded at first use.

    Raises:
        BackendUnavailable: it was not built, or cannot be loaded; says what to do.
    """
    try:
        from sctd import _native
    except ImportError as exc:
        raise BackendUnavailable(
            f"the native core cannot be loaded ({exc}); build it with `pip install .`, "
            'or ask for backend="reference", which is slow'
        ) from exc
    module: ModuleType = _native
    return module


def choose(backend: str, tensor: Tensor) -> str:
    """Name of the backend, "cpu" or "reference", that serves ``tensor``.

    Raises:
        InputError: no backend of that name.
        BackendUnavailable: it exists but not for this tensor's device.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if backend == "reference":
        return backend
    if tensor.device.type != "cpu":
        if backend == "auto":
            return "reference"  # plain torch runs on every device
        raise BackendUnavailable(
            f'backend "cpu" needs tensors on the CPU, got {tensor.device}; use backend="reference"'
        )
    return "cpu"


def backends() -> dict[str, tuple[bool, str]]:
    """What can run here: name => (available, why not or what it is)."""
    found: dict[str, tuple[bool, str]] = {"reference": (True, f"plain torch {torch.__version__}")}
    try:
        core = native()
    except BackendUnavailable as exc:
        found["cpu"] = (False, str(exc))
    else:
        found["cpu"] = (True, f"C++ kernels, {core.isa()}, {core.get_num_threads()} threads")
    return found


def get_num_threads() -> int:
    """Threads of the native kernels; starts as SCTD_NUM_THREADS, else the cores this process may use."""
    return int(native().get_num_threads())


def set_num_threads(n: int) -> None:
    """Set the number of threads of the native kernels. Results do not depend on it, bit for bit.

    Raises:
        InputError: n is not in 1..1024.
    """
    if not 1 <= n <= 1024:
        raise InputError(f"the number of threads must be in 1..1024; got {n}")
    native().set_num_threads(n)
