"""How the rasterizer's ops call each native core: the CPU's, CUDA's, and CUDA's emulation on CPU tensors.

Every core has the same five calls: tensors in and out, checked and allocated by the ops, None for absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sctd.errors import TooLarge
from sctd.ops._backend import cuda_module, native
from sctd.ops._checks import addresses, addresses_for, stream_of

Tensors = Sequence[Tensor | None]
Lists = list[Tensor]
"""Which tile each footprint touches. A core makes them and reads them; to all others they are opaque."""
RECORD = 8
"""Numbers of a footprint's record: Record in csrc/cuda/kernels.h."""


class Core(Protocol):
    """What the ops need of a native core. ``sizes`` are the arguments of ProjectShape or BlendShape; the tile
    lists stand in blend's ``inputs``, behind the backgrounds."""

    optional_g_alphas: bool  # whether blend_backward takes None for zeros

    @staticmethod
    def empty_lists(depths: Tensor, tiles: int, pairs: int | torch.SymInt) -> Lists:
        """Unfilled tile lists of footprints with these depths [C, N], for so many tiles and pairs."""

    @staticmethod
    def room(lists: Lists) -> int:
        """Pairs that the lists hold at most."""

    @staticmethod
    def needed(lists: Lists) -> Tensor | None:
        """Pairs that there are, where there may be more than the lists hold: on the device."""

    def project_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None: ...

    def project_backward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None: ...

    def tile_lists(self, footprints: Sequence[Tensor], size: tuple[int, int], capacity: int) -> Lists: ...

    def blend_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None: ...

    def blend_backward(
        self, sizes: Sequence[Any], deterministic: bool, inputs: Tensors, out: Tensors
    ) -> None: ...


MAX_PAIRS = 2**31 - 2
"""Of the tile lists, in which a pair has a 32-bit number. CUDA's count stops one above."""
TILE = 16
"""Pixels of a tile's edge: kTile in csrc/include/common.h, which a test compares."""
MAX_SIDE = TILE * (2**16 - 1)
"""Pixels of a row or a column on the CPU, whose tiles have 16-bit numbers there."""
MAX_CAMERAS = 2**16 - 1
"""Of CUDA, whose grids are no higher."""
MAX_SUMS = 2**32 - 1
"""Bytes of CUDA's backward pass, which finds a row of them by a 32-bit number."""


def check_footprints(cameras: int, count: int) -> None:
    """Raise TooLarge where the Gaussians, counted once for each camera, have no 32-bit numbers."""
    if cameras * count > MAX_PAIRS:
        raise TooLarge(
            f"at most 2^31 - 2 Gaussians, counted once for each camera; got {cameras} x {count}, "
            "render fewer cameras at once"
        )


def check_pairs(pairs: int) -> int:
    """The number of (tile, Gaussian) pairs, where there are not too many.

    Raises:
        TooLarge: there are.
    """
    if pairs > MAX_PAIRS:
        raise TooLarge(
            "the Gaussians touch 2^31 - 1 tiles of 16 x 16 pixels or more in all, "
            "and the tile lists hold fewer; render fewer cameras at once, or smaller Gaussians"
        )
    return pairs


def check_sums(size: int, capacity: int, deterministic: bool) -> int:
    """The bytes that CUDA's backward pass sums up in, where they are not too many.

    Raises:
        TooLarge: they are.
    """
    if size <= MAX_SUMS:
        return size
    pairs = f"; of these the deterministic mode needs four rows for each of {capacity} pairs"
    advice = ", fewer or smaller Gaussians, a smaller capacity, or torch.use_deterministic_algorithms(False)"
    raise TooLarge(
        f"the backward pass needs {size / 2**30:.1f} GiB of sums, at most 4{pairs if deterministic else ''}; "
        f"render fewer cameras at once{advice if deterministic else ' or fewer channels'}"
    )


def _f64(tensors: Tensors) -> bool:
    return tensors[0] is not None and tensors[0].dtype == torch.float64


def count_tiles(cameras: int, width: int, height: int) -> int:
    """Tiles of all cameras."""
    return cameras * -(-width // TILE) * -(-height // TILE)


class CpuLists(NamedTuple):
    """TilesOut in csrc/cpu/kernels.h."""

    slot_start: Tensor
    tile_start: Tensor
    pair_index: Tensor
    slot_pair: Tensor
    pair_mask: Tensor


class CpuCore:
    """C++ on CPU tensors, float32 and float64."""

    optional_g_alphas = True

    def __init__(self) -> None:
        self.module = native()

    @staticmethod
    def empty_lists(depths: Tensor, tiles: int, pairs: int | torch.SymInt) -> Lists:
        sizes = (depths.numel() + 1, tiles + 1, pairs, pairs)
        integers = (depths.new_empty(n, dtype=torch.int32) for n in sizes)
        return [*integers, depths.new_empty(pairs, dtype=torch.int64)]

    @staticmethod
    def room(lists: Lists) -> int:
        return CpuLists(*lists).pair_index.shape[0]

    @staticmethod
    def needed(lists: Lists) -> Tensor | None:
        return None  # exactly what there is room for

    def project_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        check_footprints(*sizes[:2])
        self.module.project_forward(_f64(inputs), self.module.ProjectShape(*sizes), addresses(*inputs, *out))

    def project_backward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        *others, g_sh, g_viewmats = out
        if g_sh is not None:
            g_sh.zero_()  # the kernel adds to it
        if g_viewmats is None:
            viewmats = inputs[5]
            assert viewmats is not None
            g_viewmats = torch.empty_like(viewmats)  # made in any case
        at = addresses(*inputs, *others, g_sh, g_viewmats)
        self.module.project_backward(_f64(inputs), self.module.ProjectShape(*sizes), at)

    def tile_lists(self, footprints: Sequence[Tensor], size: tuple[int, int], capacity: int) -> Lists:
        """Exactly as many pairs as there are; ``capacity`` is CUDA's."""
        depths = footprints[3]
        cameras, count = depths.shape
        if max(size) > MAX_SIDE:
            raise TooLarge(
                f"a picture on the CPU is at most {MAX_SIDE} pixels wide and high; got {size[0]} x {size[1]}"
            )
        try:
            found = self.module.Tiles(_f64(footprints), cameras, count, *size, addresses(*footprints))
        except MemoryError:
            raise MemoryError(
                f"not enough memory for the tile lists of {cameras} x {count} Gaussians"
            ) from None
        lists = self.empty_lists(depths, count_tiles(cameras, *size), check_pairs(found.pairs))
        found.write(addresses(*lists))
        return lists

    def blend_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        self.module.blend_forward(_f64(inputs), self.module.BlendShape(*sizes), addresses(*inputs, *out))

    def blend_backward(
        self, sizes: Sequence[Any], deterministic: bool, inputs: Tensors, out: Tensors
    ) -> None:
        """Always deterministic."""
        self.module.blend_backward(_f64(inputs), self.module.BlendShape(*sizes), addresses(*inputs, *out))


class CudaLists(NamedTuple):
    """TilesArgs in csrc/cuda/kernels.h."""

    order: Tensor
    rank_start: Tensor
    tile_start: Tensor
    pair_index: Tensor
    pair_slot: Tensor
    pair_mask: Tensor
    records: Tensor


class CudaCore:
    """The CUDA kernels, float32, on the tensors' device and its current stream; or emulated, or executed, on
    CPU tensors."""

    optional_g_alphas = False

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    @staticmethod
    def _of_pairs(like: Tensor, pairs: int | torch.SymInt) -> tuple[Tensor, Tensor, Tensor]:
        index, slot = (like.new_empty(pairs, dtype=torch.int32) for _ in range(2))
        return index, slot, like.new_empty(pairs, dtype=torch.uint8)

    @classmethod
    def empty_lists(cls, depths: Tensor, tiles: int, pairs: int | torch.SymInt) -> Lists:
        count = depths.numel()
        sizes = (count, count + 1, tiles + 1)
        order, rank_start, tile_start = (depths.new_empty(n, dtype=torch.int32) for n in sizes)
        records = depths.new_empty(count, RECORD)
        return [*CudaLists(order, rank_start, tile_start, *cls._of_pairs(depths, pairs), records)]

    @staticmethod
    def room(lists: Lists) -> int:
        return CudaLists(*lists).pair_index.shape[0]

    @staticmethod
    def needed(lists: Lists) -> Tensor | None:
        return CudaLists(*lists).rank_start[-1]

    @staticmethod
    def _scratch(like: Tensor | None, size: int) -> Tensor:
        assert like is not None  # the first tensor of every call is there
        return torch.empty(size, dtype=torch.uint8, device=like.device)

    def project_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        if sizes[0] > MAX_CAMERAS:
            raise TooLarge(f"at most {MAX_CAMERAS} cameras on CUDA; got {sizes[0]}, render some at a time")
        check_footprints(*sizes[:2])
        shape = self.module.ProjectShape(*sizes)
        with stream_of(inputs[0]) as stream:
            self.module.project_forward(shape, addresses_for(self.module, *inputs, *out), stream)

    def project_backward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        cameras, count, sh_degree = *sizes[:2], sizes[5]
        size = self.module.project_backward_scratch(count, cameras, sh_degree, out[-1] is not None)
        scratch = self._scratch(inputs[0], size)
        shape = self.module.ProjectShape(*sizes)
        with stream_of(inputs[0]) as stream:
            self.module.project_backward(shape, addresses_for(self.module, *inputs, *out, scratch), stream)

    def tile_lists(self, footprints: Sequence[Tensor], size: tuple[int, int], capacity: int) -> Lists:
        """At most ``capacity`` pairs, without waiting for the device; 0: all of them, which waits once."""
        depths = footprints[3]
        cameras, count = depths.shape
        tiles = count_tiles(cameras, *size)
        order, rank_start, tile_start, *_, records = self.empty_lists(depths, tiles, 0)
        with stream_of(depths) as stream:
            scratch = self._scratch(depths, self.module.tiles_count_scratch(depths.numel()))
            bands = self._scratch(depths, self.module.tiles_bands(depths.numel()))
            at = addresses_for(self.module, *footprints, order, rank_start, records, bands, scratch)
            self.module.tiles_count(cameras, count, *size, at, stream)
            pairs = min(capacity, MAX_PAIRS) or check_pairs(int(rank_start[-1]))
            lists = [*CudaLists(order, rank_start, tile_start, *self._of_pairs(depths, pairs), records)]
            scratch = self._scratch(depths, self.module.tiles_write_scratch(pairs))
            at = addresses_for(self.module, *footprints, *lists, bands, scratch)
            self.module.tiles_write(cameras, count, *size, pairs, at, stream)
        return lists

    def blend_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        shape = self.module.BlendShape(*sizes)
        with stream_of(inputs[0]) as stream:
            self.module.blend_forward(shape, addresses_for(self.module, *inputs, *out), stream)

    def blend_backward(
        self, sizes: Sequence[Any], deterministic: bool, inputs: Tensors, out: Tensors
    ) -> None:
        shape = self.module.BlendShape(*sizes)
        size = self.module.blend_backward_scratch(shape, deterministic)
        scratch = self._scratch(inputs[0], check_sums(size, sizes[3], deterministic))
        at = addresses_for(self.module, *inputs, *out, scratch)
        with stream_of(inputs[0]) as stream:
            self.module.blend_backward(shape, deterministic, at, stream)


def core_type(name: str) -> type[CpuCore] | type[CudaCore]:
    """The class of a backend's core: "cpu"'s, or that of the three that run the CUDA kernels."""
    return CpuCore if name == "cpu" else CudaCore


@cache
def core(name: str) -> Core:
    """The core of a backend."""
    return CpuCore() if name == "cpu" else CudaCore(cuda_module(name))
