"""Every test of the ops may ask for the emulated CUDA kernels, and by its backend for the executed ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session", autouse=True)
def _emulation(simt_module: str) -> None:
    pass


@pytest.fixture(autouse=True)
def _executed(request: pytest.FixtureRequest) -> Iterator[None]:
    """For backends "cuda-ptx" and "triton-ptx": in lockstep; reads of what nobody wrote are errors."""
    callspec = getattr(request.node, "callspec", None)
    backend = "" if callspec is None else str(callspec.params.get("backend"))
    if not backend.endswith("-ptx"):
        yield
        return
    if backend == "triton-ptx":
        need = request.getfixturevalue("need")
        need("triton-ptx", find_spec("triton") is not None, "run `pip install triton` (Linux)")
    request.getfixturevalue("cuda_ptx" if backend == "cuda-ptx" else "ptx_module")
    from benchmarks.triton_ptx import executing
    from sctd.ops._backend import native_ptx
    from sctd.ops._new_memory import watching

    with ExitStack() as stack:
        if backend == "triton-ptx":
            stack.enter_context(executing())
        native_ptx().schedule()
        stack.enter_context(watching(native_ptx()))
        yield
