"""The emulated CUDA kernels for the tests of the ops: built once, from these sources."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

BUILD = Path(__file__).resolve().parents[2] / "csrc" / "simt" / "build.py"


def simt_build() -> ModuleType:
    """csrc/simt/build.py as a module."""
    spec = importlib.util.spec_from_file_location("simt_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _simt_module() -> None:
    os.environ.setdefault("SCTD_SIMT_MODULE", str(simt_build().build("plain")))
