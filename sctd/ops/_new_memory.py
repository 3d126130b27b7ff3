"""Tracks tensors with unwritten memory, which a kernel must write before it reads. For tests.

The executor of PTX (csrc/ptx) tracks such memory byte by byte. Such memory comes from torch.empty and similar
functions, which :func:`watching` observes; torch's in-place operations increase a tensor's version, kernels
do not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

_numbers = itertools.count(1)
_new: dict[int, tuple[int, StorageWeakRef]] = {}
"""Storage => its number, while it lives."""


def _noted(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Tensor:
        out = make(*args, **kwargs)
        if out.device.type == "cpu" and out.numel():
            storage = StorageWeakRef(out.untyped_storage())
            _new[storage.cdata] = next(_numbers), storage
        return out

    return made


@contextmanager
def watching(module: ModuleType) -> Iterator[None]:
    """Inside, new memory counts as unwritten for the executor ``module``, all other memory as written."""
    makers = [(torch, "empty"), (torch, "empty_like"), (Tensor, "new_empty")]
    before = [getattr(owner, name) for owner, name in makers]
    for (owner, name), make in zip(makers, before, strict=True):
        setattr(owner, name, _noted(make))
    try:
        yield
    finally:
        for (owner, name), make in zip(makers, before, strict=True):
            setattr(owner, name, make)
        for number, _ in _new.values():
            module.forget(number)
        _new.clear()


def tell(module: ModuleType, tensors: Iterable[Tensor | None]) -> None:
    """Tell the executor which arrays its next kernels may touch, and which of them started unwritten."""
    for gone in [s for s, (_, alive) in _new.items() if alive.expired()]:
        module.forget(_new.pop(gone)[0])
    found = []
    for t in tensors:
        if t is None:
            continue
        storage = t.untyped_storage()
        number, alive = _new.get(StorageWeakRef(storage).cdata, (0, None))
        if alive is not None and not t.is_inference() and t._version == 0:
            found.append((storage.data_ptr(), storage.nbytes(), number))
        elif t.is_contiguous():
            found.append((t.data_ptr(), t.numel() * t.element_size(), 0))
        else:
            found.append((storage.data_ptr(), storage.nbytes(), 0))
    module.know(found)
