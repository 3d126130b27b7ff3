"""Triton's kernels as it compiles them for a GPU, executed on CPU tensors: backend "triton-ptx", for tests.

    with executing(arch=80):
        ops.noise(..., backend="triton-ptx")

Launches go to the executor of PTX (csrc/ptx). Triton itself decides, as it does on a GPU, which arguments
become constants and which alignments it relies on; it compiles in a process of its own, because this one
may have told it to interpret. Compiled kernels are kept in build/ptx/triton, by what they were made of.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from sctd.ops import _backend
from sctd.ops._new_memory import tell

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "ptx" / "triton"
MODULES = ("activation", "images", "ode", "residual", "screen", "variation")
"""Of sctd.ops, with _triton_ before the name: those that hold kernels."""
FORMATS = {"i1": "?", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "u32": "I", "u64": "Q", "fp32": "f"}
"""Triton's types of plain arguments, as struct spells them; pointers are addresses."""


class Compiled(NamedTuple):
    """A kernel's PTX; ``arguments``: (name, Triton's type) of those that are left, in order."""

    ptx: str
    warps: int
    shared: int
    arguments: list[tuple[str, str]]


# --- where Triton compiles ----------------------------------------------------------------------------------


class _Pointer:
    """What Triton reads of a tensor before it compiles: its type, and whether 16 divides its address."""

    def __init__(self, dtype: str, address: int) -> None:
        self.dtype, self._address = getattr(torch, dtype), address

    def data_ptr(self) -> int:
        return self._address


def _pretended_driver(arch: int) -> Any:
    """A driver of a device that is not there."""
    from triton.backends.compiler import GPUTarget

    class Driver:
        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", arch, 32)

    return Driver()


def _compile(request: dict[str, Any]) -> Compiled:
    from triton.runtime.driver import driver

    driver.set_active(_pretended_driver(request["arch"]))
    kernel = getattr(_module(request["module"], request["file"]), request["kernel"])
    kernel.device_caches.clear()  # of another architecture
    arguments = [_Pointer(*a) if isinstance(a, list) else a for a in request["arguments"]]
    made = kernel.warmup(*arguments, grid=(1,), **request["options"])
    left = [(name, kind) for name, kind in made.src.signature.items() if kind != "constexpr"]
    return Compiled(made.asm["ptx"], made.metadata.num_warps, made.metadata.shared, left)


def _module(name: str, file: str) -> ModuleType:
    """By its name, or, where that is no module of the project, by its file."""
    if name.startswith("sctd."):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Requests come in and compiled kernels go out, a line of JSON each."""
    for line in sys.stdin:
        print(json.dumps(_compile(json.loads(line))), flush=True)


# --- where they are executed --------------------------------------------------------------------------------


@cache
def _made_of() -> str:
    files = sorted((ROOT / "sctd" / "ops").glob("_triton_*.py"))
    texts = b"".join(path.read_bytes() for path in files)
    return metadata.version("triton") + hashlib.sha256(texts).hexdigest()


@cache
def _compiler() -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks.triton_ptx"]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    atexit.register(process.communicate)  # closes its input, at which it ends
    return process


def compiled(request: dict[str, Any]) -> tuple[str, Compiled]:
    """A key of the request and what Triton makes of it."""
    text = json.dumps(request, sort_keys=True)
    source = Path(request["file"]).read_text()
    key = hashlib.sha256((_made_of() + source + text).encode()).hexdigest()[:16]
    kept = KEPT / f"{key}.json"
    if not kept.exists():
        process = _compiler()
        to, back = _pipes(process)
        to.write(text + "\n")
        to.flush()
        answer = back.readline()
        if not answer:
            _compiler.cache_clear()
            raise RuntimeError(f"Triton cannot compile {request['kernel']}: see above")
        KEPT.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(answer)
        part.replace(kept)
    ptx, warps, shared, arguments = json.loads(kept.read_text())
    return key, Compiled(ptx, warps, shared, [(name, kind) for name, kind in arguments])


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


class ExecutedKernel:
    """Stands for a kernel of Triton's: ``kernel[grid](*arguments, **constants)`` runs its PTX."""

    def __init__(self, kernel: Any, executor: ModuleType, arch: int) -> None:
        self.function = kernel.fn
        self.executor, self.arch = executor, arch

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            self._launch(grid, arguments, options)

        return launch

    def _launch(self, grid: tuple[int, ...], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        request = {
            "module": self.function.__module__,
            "file": inspect.getfile(self.function),
            "kernel": self.function.__name__,
            "arguments": [_described(a) for a in arguments],
            "options": options,
            "arch": self.arch,
        }
        key, made = compiled(request)
        name = f"{self.function.__name__} {key}"
        if name not in self.executor.kernels():
            self.executor.load(made.ptx, made.shared, f" {key}")
        bound = inspect.signature(self.function).bind_partial(*arguments).arguments
        values = [(bound[argument], kind) for argument, kind in made.arguments]
        tell(self.executor, [v for v, _ in values if isinstance(v, Tensor)])
        bytes_ = _packed(values, self.executor.parameters(name))
        self.executor.launch(name, [*grid, 1, 1][:3], [32 * made.warps, 1, 1], bytes_)


def _described(argument: Any) -> Any:
    """What Triton looks at: an integer may become a constant, of a tensor it takes type and alignment."""
    if isinstance(argument, Tensor):
        return [str(argument.dtype).removeprefix("torch."), argument.data_ptr() % 16]
    return 0.5 if isinstance(argument, float) else argument


def _packed(values: list[tuple[Any, str]], places: list[tuple[int, int]]) -> bytes:
    """Arguments as the kernel's parameters lie; Triton's own two at the end, for scratch, stay 0."""
    out = bytearray(max((offset + size for offset, size in places), default=0))
    for (value, kind), (offset, _) in zip(values, places, strict=False):
        if kind.startswith("*"):
            struct.pack_into("Q", out, offset, value.data_ptr())
        else:
            struct.pack_into(FORMATS[kind], out, offset, value)
    return bytes(out)


@contextmanager
def executing(arch: int = 80) -> Iterator[ModuleType]:
    """Inside, every launch of a Triton kernel of sctd runs what Triton compiles for sm_``arch``.

    Yields:
        The executor, for its schedule and its counters.

    Raises:
        BackendUnavailable: SCTD_PTX_MODULE names no module.
    """
    executor = _backend.native_ptx()
    before: list[tuple[ModuleType, str, Any]] = []
    for name in MODULES:
        module = importlib.import_module(f"sctd.ops._triton_{name}")
        before += [(module, k, v) for k, v in vars(module).items() if k.endswith("_kernel")]
    for module, attribute, kernel in before:
        setattr(module, attribute, ExecutedKernel(kernel, executor, arch))
    _backend.executed_triton.set(True)
    try:
        yield executor
    finally:
        _backend.executed_triton.set(False)
        for module, attribute, kernel in before:
            setattr(module, attribute, kernel)


if __name__ == "__main__":
    main()
