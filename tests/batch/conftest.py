"""The embedded prior, once; torch on one thread, as in the other bit-for-bit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sctd.prior import load_prior
from sctd.prior.base import Prior


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def embedded() -> Prior:
    """Read only."""
    return load_prior("embedded")
