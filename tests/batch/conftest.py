"""The embedded prior, once; torch on one thread, as in the other bit-for-bit tests."""

from __future__ import annotations

import pytest

from sctd.prior import load_prior
from sctd.prior.base import Prior


@pytest.fixture(autouse=True)
def _one_torch_thread(one_torch_thread: None) -> None:
    """For every test here."""


@pytest.fixture(scope="session")
def embedded() -> Prior:
    """Read only."""
    return load_prior("embedded")
