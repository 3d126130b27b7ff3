"""Checks of shapes, dtypes and devices, and the addresses that the native core gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

from sctd.errors import InputError


def check_shape(name: str, tensor: Tensor, *allowed: tuple[int, ...], meaning: str = "") -> None:
    """Raise InputError unless the tensor's shape is one of those allowed."""
    if tuple(tensor.shape) not in allowed:
        want = " or ".join(str(list(shape)) for shape in allowed)
        raise InputError(f"{name} must have shape {want}{meaning}; got {list(tensor.shape)}")


def check_same(first: str, tensor: Tensor, **others: Tensor | None) -> None:
    """Raise InputError unless the tensors share one floating dtype (float32 or float64) and one device."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{first} must be float32 or float64; got {tensor.dtype}")
    for name, other in others.items():
        if other is None:
            continue
        if other.dtype != tensor.dtype:
            raise InputError(f"{name} must have the dtype of {first}, {tensor.dtype}; got {other.dtype}")
        if other.device != tensor.device:
            raise InputError(f"{name} must be on the device of {first}, {tensor.device}; got {other.device}")


def check_float(first: str, tensor: Tensor, **others: Tensor) -> None:
    """Raise InputError unless all are of floating types, float64 only together, and on one device."""
    for name, t in {first: tensor, **others}.items():
        if not t.dtype.is_floating_point:
            raise InputError(f"{name} must be of a floating type; got {t.dtype}")
        if (t.dtype == torch.float64) != (tensor.dtype == torch.float64):
            raise InputError(
                f"{name} must be float64 exactly where {first}, {tensor.dtype}, is; got {t.dtype}"
            )
        if t.device != tensor.device:
            raise InputError(f"{name} must be on the device of {first}, {tensor.device}; got {t.device}")


def addresses(*tensors: Tensor | None) -> list[int]:
    """Addresses of the tensors' data, for the native core; 0 for None.

    They must be contiguous, and the caller must hold a name for each until the native call has returned.
    """
    return [0 if t is None else t.data_ptr() for t in tensors]


def addresses_for(module: ModuleType, *tensors: Tensor | None) -> list[int]:
    """:func:`addresses`; a module that checks what kernels touch (backend "cuda-ptx") learns the sizes."""
    if hasattr(module, "know"):
        from sctd.ops._new_memory import tell

        tell(module, tensors)
    return addresses(*tensors)


@contextmanager
def stream_of(tensor: Tensor | None) -> Iterator[int]:
    """Address of the CUDA stream for work on the tensor, 0 on the CPU; inside the block, the tensor's device
    is the current one."""
    if tensor is None or tensor.device.type != "cuda":
        yield 0
        return
    with torch.cuda.device(tensor.device):
        yield int(torch.cuda.current_stream().cuda_stream)
