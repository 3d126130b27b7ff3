"""Every test of the ops may ask for the emulated CUDA kernels, and by its backend for the executed ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _emulation(simt_module: str) -> None:
    pass


@pytest.fixture(autouse=True)
def _executed(request: pytest.FixtureRequest) -> Iterator[None]:
    """For a test whose backend is "cuda-ptx": in lockstep, and no read of what nobody wrote is let through."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or callspec.params.get("backend") != "cuda-ptx":
        yield
        return
    request.getfixturevalue("ptx_module")
    from sctd.ops._backend import native_ptx
    from sctd.ops._new_memory import watching

    native_ptx().schedule()
    with watching(native_ptx()):
        yield
