"""What counts as too little memory, among what libraries say."""

from __future__ import annotations

import errno

import pytest

from sctd.errors import out_of_memory


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (ImportError("libx.so: failed to map segment from shared object"), True),
        (ImportError("libx.so: failed to map segment from shared object: Operation not permitted"), False),
        (ImportError("libgomp.so.1: cannot allocate memory in static TLS block"), False),
        (ImportError("libx.so: undefined symbol: y"), False),
        (None, False),
    ],
)
def test_too_little_memory(error: BaseException | None, wanted: bool) -> None:
    assert out_of_memory(error) is wanted


def test_too_little_memory_behind_another_error() -> None:
    outer = RuntimeError("Failed to import a.b because of the following error")
    outer.__cause__ = ImportError("libx.so: failed to map segment from shared object")
    assert out_of_memory(outer)
