"""The emulated CUDA kernels for the tests of the ops: built once, from these sources."""

from __future__ import annotations

import os

import pytest
from emulation import simt_build


@pytest.fixture(scope="session", autouse=True)
def _simt_module() -> None:
    os.environ.setdefault("SCTD_SIMT_MODULE", str(simt_build().build("plain")))
