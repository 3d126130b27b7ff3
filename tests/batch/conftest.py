"""The embedded prior, once; a batch at a URL; torch on one thread, as in the other bit-for-bit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from night import alone, begun, entries

from sctd.batch import objects
from sctd.batch.remote import Url
from sctd.prior import load_prior
from sctd.prior.base import Prior


@pytest.fixture(autouse=True)
def _one_torch_thread(one_torch_thread: None) -> None:
    """For every test here."""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three analytic assets, each made alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("alone")
    prior = load_prior("analytic")
    for item in entries():
        alone(folder, item, prior)
    torch.set_num_threads(before)
    return folder


@pytest.fixture(scope="session")
def embedded() -> Prior:
    """Read only."""
    return load_prior("embedded")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scratch folders of the test alone, and no pauses before a failed upload is repeated."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "PAUSES_S", (0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def night(tmp_path: Path, cache: Path) -> Url:
    """A new batch on the disk, by its URL."""
    return begun(f"file://{tmp_path}/deep/night")
