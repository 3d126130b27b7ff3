"""Folders as they are published, with changed files, and the expected messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sctd.config.prior import PriorSettings
from sctd.errors import InputError
from sctd.prior.load import sources


def weights_of(folder: Path, part: str) -> Path:
    (path,) = (folder / part).glob("*.safetensors")
    return path


def edit(path: Path, **values: Any) -> None:
    """Changes a JSON file; None removes a key."""
    told = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in told.items() if v is not None}))


def refusal(name: Path | str) -> str:
    """The messages about a folder before torch is loaded."""
    with pytest.raises(InputError) as caught:
        sources.find(PriorSettings(name=str(name)))
    message = str(caught.value)
    assert "\n" not in message
    assert str(name) in message
    return message
