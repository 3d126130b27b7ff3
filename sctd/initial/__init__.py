"""Step 3 of 9, sources of the first Gaussians: files, meshes and Shap-E. This module loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sctd.errors import InputError
from sctd.formats import ASSET_ENDINGS

if TYPE_CHECKING:
    from sctd.config.asset import GaussianSettings

SHAPES = ("ball", "sphere", "box")
SHAP_E = "shap-e"
AUTO = "auto"
"""Shap-E where it is available, else a ball."""


def choice(text: str) -> dict[str, Any]:
    """The settings of ``--init TEXT``: a name, or else a path."""
    if text in (*SHAPES, SHAP_E, AUTO):
        return {"init": text, "init_path": None}
    return {"init": "file", "init_path": text}


def check(settings: GaussianSettings) -> None:
    """Refuse a file that a run cannot start from, before torch is loaded.

    Raises:
        InputError: it is missing or has another ending.
    """
    if settings.init != "file":
        return
    path = Path(settings.init_path or "")
    if path.suffix.lower() not in ASSET_ENDINGS:
        raise InputError(
            f"cannot start from {str(path)!r}: give {', '.join(SHAPES)}, {SHAP_E}, {AUTO}, "
            f"or a file ending in {', '.join(ASSET_ENDINGS)}"
        )
    if not path.is_file():
        raise InputError(f"cannot start from {path}: {'it is a folder' if path.is_dir() else 'no such file'}")
