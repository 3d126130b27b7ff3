"""Costs of operations on any device: FLOPs, bytes, and the least time that a device's peaks allow.

A bound is no timing: no kernel reaches both peaks, and launches, waits and bad memory layouts take more time.
It is a reference for measured times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from sctd.bench.stages import StageClock

_NOT_READ = ("zeros", "ones", "full", "new_", "rand", "scalar_tensor")
"""Beginnings of the names of operations that read only shapes; so do those that end in _like."""
_OVERWRITE = ("copy_", "fill_", "zero_", "normal_", "uniform_")
"""In-place operations that do not read the old values."""
_NOTHING = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
"""Operations that allocate and write nothing."""

# torch has formulas for the attention of GPUs alone; that of CPUs does the same products
_FLASH = torch.ops.aten._scaled_dot_product_flash_attention
_FLASH_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    _FLASH_CPU: flop_registry[_FLASH],
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        torch.ops.aten._scaled_dot_product_flash_attention_backward
    ],
}


@dataclass(frozen=True)
class Operation:
    """One call of one operation that moves numbers; views and allocations are none."""

    stage: str
    name: str
    """Namespace and name, for example aten.convolution."""
    flops: int
    """By torch's own formulas: two for each multiply-add of matrix products, convolutions and attention; 0
    for everything else."""
    bytes: int
    """Every operand read once and every result written once, as if nothing stayed in a cache; rows of an
    expanded tensor count once."""
    weights: int
    """Bytes among them of frozen weights."""


class Work(TorchDispatchMode):
    """Writes down the operations inside the block, with the stage that the clock is in."""

    def __init__(self, clock: StageClock, weights: Iterable[Tensor] = ()) -> None:
        """Takes the weights whose bytes are counted separately."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._clock = clock
        self._weights = {_memory(x) for x in weights}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation and writes it down."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        namespace, _, name = str(packet).rpartition(".")
        read, written = _traffic(func, name, args, kwargs, out)
        if read or written:
            formula = FORMULAS.get(packet)
            self.operations.append(
                Operation(
                    stage=self._clock.stage or "",
                    name=f"{namespace}.{name}",
                    flops=0 if formula is None else formula(*args, **kwargs, out_val=out),
                    bytes=sum(size(x) for x in (*read, *written)),
                    weights=sum(size(x) for x in read if _memory(x) in self._weights),
                )
            )
        return out


def _traffic(
    func: Any, name: str, args: Any, kwargs: Any, out: Any
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Tensors that an operation reads and writes; none of a view."""
    if name in _NOTHING:
        return (), ()
    operands = _tensors((args, kwargs))
    changed = _changed(func, args, kwargs)
    there = {_memory(x) for x in operands}
    made = [x for x in _tensors(out) if _memory(x) not in there]
    if not made and not changed and _tensors(out):
        return (), ()
    if name.startswith(_NOT_READ) or name.endswith("_like"):
        operands = []
    elif name in _OVERWRITE:
        operands = operands[1:]
    elif name == "convolution_backward" and not kwargs.get("output_mask", args[-1])[1]:
        operands = [x for x in operands if x is not args[1]]  # the input is for the weights' gradient alone
    return operands, [*made, *changed]


def _changed(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Operands that the operation writes to, by its schema."""
    if not func._schema.is_mutable:
        return []
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    written = (a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write)
    return _tensors([given.get(name) for name in written])


def _tensors(tree: Any) -> list[Tensor]:
    """The different tensors of a tree."""
    return list({id(x): x for x in tree_leaves(tree) if isinstance(x, Tensor)}.values())


def _memory(x: Tensor) -> int:
    """Identifies a tensor's memory, also without storage."""
    return int(x.untyped_storage()._cdata)


def size(x: Tensor) -> int:
    """Bytes of a tensor's different elements: expanded dimensions count once."""
    count = 1
    for length, stride in zip(x.shape, x.stride(), strict=True):
        count *= length if stride != 0 or length == 0 else 1
    return count * x.element_size()


@dataclass(frozen=True)
class Device:
    """A graphics card's peaks as its maker states them, dense, at full clocks."""

    name: str
    flops_per_s: float
    """float16 products summed in float32, tensor cores, no sparsity."""
    bytes_per_s: float


# Sources: NVIDIA's data sheets: A100 (80 GB SXM, June 2021), H100 (SXM5, 2023), Ada architecture whitepaper
# (appendix A, RTX 4090: FP16 tensor TFLOPS with FP32 accumulate, without sparsity).
DEVICES = (
    Device("A100 SXM", 312e12, 2039e9),
    Device("H100 SXM", 989e12, 3350e9),
    Device("RTX 4090", 165e12, 1008e9),
)


@dataclass(frozen=True)
class Bound:
    """Seconds that a device needs at least."""

    arithmetic: float
    """For the FLOPs alone, if everything else were free: no program that computes them is faster."""
    by_operation: float
    """If each operation is a kernel of its own that reads its operands from memory and writes its results
    there: the larger of FLOPs and bytes, operation by operation. Fused kernels may be faster."""


def bound(operations: Iterable[Operation], device: Device) -> Bound:
    """Of operations one after the other."""
    arithmetic = by_operation = 0.0
    for op in operations:
        products = op.flops / device.flops_per_s
        arithmetic += products
        by_operation += max(products, op.bytes / device.bytes_per_s)
    return Bound(arithmetic, by_operation)
