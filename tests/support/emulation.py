"""The CUDA sources as modules that run on the CPU; see the build.py of csrc/simt and csrc/ptx."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

CSRC = Path(__file__).resolve().parents[2] / "csrc"


def simt_build() -> ModuleType:
    """csrc/simt/build.py as a module."""
    return _build("simt")


def ptx_build() -> ModuleType:
    """csrc/ptx/build.py as a module."""
    return _build("ptx")


def _build(folder: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{folder}_build", CSRC / folder / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
