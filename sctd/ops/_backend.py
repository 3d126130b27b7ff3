"""The only place that chooses native code for a tensor: (device, requested backend) => backend name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from sctd.errors import BackendUnavailable, InputError
from sctd.machine.environment import MOST_THREADS, check_instruction_set, check_variables, tell_unknown

BACKENDS = (
    *("auto", "cpu", "cuda", "cuda-simt", "cuda-ptx", "triton", "triton-interpret", "triton-ptx"),
    "reference",
)


@lru_cache(maxsize=1)
def native() -> ModuleType:
    """The compiled core, loaded at first use.

    Raises:
        BackendUnavailable: it was not built, or cannot be loaded; says what to do.
        InputError: a variable of the native code has an invalid value, or asks for instructions that the
            processor lacks.
    """
    check_variables()
    tell_unknown(warnings.warn)
    try:
        module = importlib.import_module("sctd._native")
    except ImportError as exc:
        raise BackendUnavailable(
            f"the native core cannot be loaded ({exc}); build it with `pip install .`, "
            'or ask for backend="reference", which is slow'
        ) from exc
    check_instruction_set(module.isa())
    return module


def native_cuda() -> ModuleType:
    """The CUDA kernels of the compiled core.

    Raises:
        BackendUnavailable: the core was built without them.
    """
    module: ModuleType | None = getattr(native(), "cuda", None)
    if module is None:
        raise BackendUnavailable(
            "this build of sctd has no CUDA kernels; build it with SCTD_BUILD=cuda pip install . (needs nvcc)"
        )
    return module


@lru_cache(maxsize=1)
def native_simt() -> ModuleType:
    """The CUDA kernels compiled for their emulation on CPU tensors, from the file SCTD_SIMT_MODULE names.

    Raises:
        BackendUnavailable: the variable is not set, or names no module. For tests; `make simt` builds one.
    """
    return _for_tests("cuda-simt", "SCTD_SIMT_MODULE", "simt")


@lru_cache(maxsize=1)
def native_ptx() -> ModuleType:
    """The executor of PTX on CPU tensors, with the CUDA kernels as nvcc compiled them: SCTD_PTX_MODULE.

    Raises:
        BackendUnavailable: the variable is not set, or names no module. For tests; `make ptx` builds one.
    """
    module = _for_tests("cuda-ptx", "SCTD_PTX_MODULE", "ptx")
    arch = os.environ.get("SCTD_PTX_ARCH", "80")
    for path in sorted(Path(os.environ["SCTD_PTX_MODULE"]).parent.glob(f"sm_{arch}/*.ptx")):
        module.load(path.read_text())
    return module


def _for_tests(backend: str, variable: str, target: str) -> ModuleType:
    """The module that an environment variable names and `make <target>` builds."""
    path = os.environ.get(variable, "")
    if not path:
        raise BackendUnavailable(
            f'backend "{backend}" is for tests: build it with `make {target}` and set {variable} to its file'
        )
    spec = importlib.util.spec_from_file_location(Path(path).name.split(".")[0], path)
    if spec is None or spec.loader is None or not Path(path).exists():
        raise BackendUnavailable(f"{variable} names no module: {path!r}; build it with `make {target}`")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cuda_module(backend: str) -> ModuleType:
    """The CUDA kernels of a backend: on a device, emulated, or their PTX executed."""
    if backend == "cuda":
        return native_cuda()
    return native_simt() if backend == "cuda-simt" else native_ptx()


executed_triton: ContextVar[bool] = ContextVar("executed_triton", default=False)
"""Whether launches of Triton's kernels go to the executor of PTX; see benchmarks/triton_ptx.py."""


def native_triton(interpreted: bool) -> None:
    """Whether Triton's kernels can run: compiled for a GPU, or in its interpreter on CPU tensors.

    Raises:
        BackendUnavailable: Triton is missing, or set up for the other way to run.
    """
    if importlib.util.find_spec("triton") is None:
        raise BackendUnavailable("Triton is not installed; run `pip install triton` (Linux)")
    if executed_triton.get():
        raise BackendUnavailable('only backend "triton-ptx" runs where Triton\'s PTX is executed')
    if (os.environ.get("TRITON_INTERPRET") == "1") != interpreted:
        how = "set TRITON_INTERPRET=1" if interpreted else "unset TRITON_INTERPRET"
        raise BackendUnavailable(f"{how} before sctd is imported; it decides how Triton runs kernels")


def choose(backend: str, tensor: Tensor, kernels: tuple[str, ...] = ("cpu",)) -> str:
    """Name of the backend for ``tensor``: one of ``kernels``, those that an op has, or "reference".

    Raises:
        InputError: no backend of that name, or not for this dtype.
        BackendUnavailable: it exists but not for this tensor's device.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if backend == "auto":
        return _automatic(tensor, kernels)
    if backend == "reference":
        return backend
    if backend not in kernels:
        raise BackendUnavailable(f'this op has no kernel for backend "{backend}" yet; use backend="auto"')
    needed = "cuda" if backend in ("cuda", "triton") else "cpu"
    if tensor.device.type != needed:
        raise BackendUnavailable(
            f'backend "{backend}" needs tensors on the {needed.upper()}, got {tensor.device}; '
            'use backend="reference"'
        )
    if backend == "triton-ptx":
        if not executed_triton.get():
            raise BackendUnavailable(
                'backend "triton-ptx" is for tests: it works inside benchmarks.triton_ptx.executing()'
            )
    elif backend.startswith("triton"):
        native_triton(interpreted=backend == "triton-interpret")
    if backend == "cuda":
        _runnable_cuda(tensor.device)
    if backend.startswith("cuda") and tensor.dtype != torch.float32:
        raise InputError(f'backend "{backend}" computes in float32; got {tensor.dtype}')
    return backend


def _automatic(tensor: Tensor, kernels: tuple[str, ...]) -> str:
    if tensor.device.type == "cpu":
        return "cpu"
    fast = next((name for name in ("cuda", "triton") if name in kernels), None)
    if tensor.device.type != "cuda":
        return "reference"  # plain torch runs on every device
    if fast is None:
        _say_slow("this op has no kernel for a GPU yet; plain torch is used, which is slow")
        return "reference"
    if tensor.dtype == torch.float64:
        _say_slow(f"the GPU kernels compute in float32, {tensor.dtype} runs as plain torch, which is slow")
        return "reference"
    try:
        if fast == "cuda":
            _runnable_cuda(tensor.device)
        else:
            native_triton(interpreted=False)
    except BackendUnavailable as exc:
        _say_slow(f"{exc}; until then plain torch is used, which is slow")
        return "reference"
    return fast


@cache
def _missing_device(index: int) -> str:
    """Why the CUDA kernels cannot run on a device, -1 the current one; checked once."""
    return str(native_cuda().missing_device(index))


def _runnable_cuda(device: torch.device) -> None:
    """Raises BackendUnavailable where the CUDA kernels are not built, or cannot run on the device."""
    missing = _missing_device(-1 if device.index is None else device.index)
    if missing:
        raise BackendUnavailable(f"the CUDA kernels are built, but cannot run: {missing}")


@cache
def _say_slow(reason: str) -> None:
    """Once a process for each reason."""
    warnings.warn(reason, stacklevel=4)


def backends() -> dict[str, tuple[bool, str]]:
    """Backends on this machine: name => (available, the reason or a description)."""
    found: dict[str, tuple[bool, str]] = {"reference": (True, f"plain torch {torch.__version__}")}
    try:
        core = native()
    except BackendUnavailable as exc:
        found["cpu"] = (False, str(exc))
    else:
        found["cpu"] = (True, f"C++ kernels, {core.isa()}, {core.get_num_threads()} threads")
        found["cuda"] = _cuda_state()
    found["triton"] = _triton_state()
    return found


def _cuda_state() -> tuple[bool, str]:
    try:
        missing = native_cuda().missing_device()
    except BackendUnavailable as exc:
        return False, str(exc)
    if missing:
        return False, f"CUDA kernels are built, but cannot run: {missing}"
    if not torch.cuda.is_available():
        return False, "CUDA kernels are built, but this Torch was built without CUDA"
    return True, f"CUDA kernels, {torch.cuda.get_device_name()}"


def _triton_state() -> tuple[bool, str]:
    try:
        native_triton(interpreted=False)
    except BackendUnavailable as exc:
        return False, str(exc)
    if not torch.cuda.is_available():
        return False, "Triton is installed, but there is no CUDA device that this Torch could use"
    return True, f"Triton {metadata.version('triton')}, {torch.cuda.get_device_name()}"


def get_num_threads() -> int:
    """Threads of the native kernels; initially SCTD_NUM_THREADS, else the cores that this process may use."""
    return int(native().get_num_threads())


def set_num_threads(n: int) -> None:
    """Set the number of threads of the native kernels. Results do not depend on it, bit for bit.

    Raises:
        InputError: n is not in 1..1024.
    """
    if not 1 <= n <= MOST_THREADS:
        raise InputError(f"the number of threads must be in 1..{MOST_THREADS}; got {n}")
    native().set_num_threads(n)
