"""The CUDA sources as modules that run on the CPU; see csrc/simt/build.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

BUILD = Path(__file__).resolve().parents[1] / "csrc" / "simt" / "build.py"


def simt_build() -> ModuleType:
    """csrc/simt/build.py as a module."""
    spec = importlib.util.spec_from_file_location("simt_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
