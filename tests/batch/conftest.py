"""The embedded prior, once; torch on one thread, as in the other bit-for-bit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from night import alone, entries

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
