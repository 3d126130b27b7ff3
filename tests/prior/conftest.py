"""Shared by the tests of priors: the tiny Stable Diffusion folders, written once per session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epsilon-predicting pipeline, float16; read only."""
    from tiny import write_folder

    return write_folder(tmp_path_factory.mktemp("tiny") / "epsilon")


@pytest.fixture
def tiny_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    import shutil

    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def base(tiny_folder: Path) -> dict[str, Any]:
    """The two networks that a LoRA may change, float32; read only."""
    import torch

    from sctd.prior.load.parts import load_folder

    parts = load_folder(tiny_folder, "tiny", torch.float32)
    return {"unet": parts.unet, "text_encoder": parts.text_encoder}


@pytest.fixture
def networks(base: dict[str, Any]) -> dict[str, Any]:
    """A copy to merge into."""
    import copy

    return copy.deepcopy(base)
