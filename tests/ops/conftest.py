"""Every test of the ops may ask for the emulated CUDA kernels."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _emulation(simt_module: str) -> None:
    pass
