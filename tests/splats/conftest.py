"""Torch runs on one thread, for the bit-for-bit tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_torch_thread(one_torch_thread: None) -> None:
    """For every test here."""
