"""Shared by the diffusion tests: the tiny Stable Diffusion folders, written once per session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epsilon-predicting pipeline, float16; read only."""
    from .tiny import write_folder

    return write_folder(tmp_path_factory.mktemp("tiny") / "epsilon")


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    import shutil

    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
