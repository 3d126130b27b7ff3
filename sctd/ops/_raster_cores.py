"""How the rasterizer's ops call each native core: the CPU's, CUDA's, and CUDA's emulation on CPU tensors.

Every core has the same five calls: tensors in and out, checked and allocated by the ops, None for absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from sctd.errors import TooLarge
from sctd.ops._backend import cuda_module, native
from sctd.ops._checks import addresses, addresses_for, stream_of

Tensors = Sequence[Tensor | None]
Lists = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""What :func:`sctd.ops._raster_ops.tile_lists_now` returns."""
RECORD = 8
"""Numbers of a footprint's record: Record in csrc/cuda/kernels.h."""


class Core(Protocol):
    """What the ops need of a native core. ``sizes`` are the arguments of ProjectShape or BlendShape."""

    mask_dtype: torch.dtype
    has_order: bool  # whether the first and the last of the tile lists are used, else they are empty
    optional_g_alphas: bool  # whether blend_backward takes None for zeros

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


def list_arrays(depths: Tensor, tiles: int, pairs: int | torch.SymInt, core: Core) -> Lists:
    """Unfilled: three arrays of the Gaussians, the Gaussians, the tiles; three of the pairs; records."""
    count = depths.numel()
    footprints = count if core.has_order else 0
    sizes = (footprints, count + 1, tiles + 1, pairs, pairs)
    order, start, tile_start, index, slot = (depths.new_empty(n, dtype=torch.int32) for n in sizes)
    mask = depths.new_empty(pairs, dtype=core.mask_dtype)
    return order, start, tile_start, index, slot, mask, depths.new_empty(footprints, RECORD)


def count_tiles(cameras: int, width: int, height: int) -> int:
    """Tiles of all cameras."""
    return cameras * -(-width // TILE) * -(-height // TILE)


class CpuCore:
    """C++ on CPU tensors, float32 and float64."""

    mask_dtype = torch.int64  # 4 x 1 strips
    has_order = False
    optional_g_alphas = True

    def __init__(self) -> None:
        self.module = native()

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
        out = list_arrays(depths, count_tiles(cameras, *size), check_pairs(found.pairs), self)
        found.write(addresses(*out[1:6]))
        return out

    def blend_forward(self, sizes: Sequence[Any], inputs: Tensors, out: Tensors) -> None:
        at = addresses(*inputs[:6], *inputs[7:12], *out)  # but for order and records
        self.module.blend_forward(_f64(inputs), self.module.BlendShape(*sizes), at)

    def blend_backward(
        self, sizes: Sequence[Any], deterministic: bool, inputs: Tensors, out: Tensors
    ) -> None:
        """Always deterministic."""
        at = addresses(*inputs[:6], *inputs[7:12], *inputs[13:], *out)
        self.module.blend_backward(_f64(inputs), self.module.BlendShape(*sizes), at)


class CudaCore:
    """The CUDA kernels, float32, on the tensors' device and its current stream; or emulated, or executed, on
    CPU tensors."""

    mask_dtype = torch.uint8  # 8 x 8 sub-tiles
    has_order = True
    optional_g_alphas = False

    def __init__(self, module: ModuleType) -> None:
        self.module = module

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
        order, rank_start = (
            depths.new_empty(n, dtype=torch.int32) for n in (depths.numel(), depths.numel() + 1)
        )
        records = depths.new_empty(depths.numel(), RECORD)
        with stream_of(depths) as stream:
            scratch = self._scratch(depths, self.module.tiles_count_scratch(depths.numel()))
            bands = self._scratch(depths, self.module.tiles_bands(depths.numel()))
            at = addresses_for(self.module, *footprints, order, rank_start, records, bands, scratch)
            self.module.tiles_count(cameras, count, *size, at, stream)
            pairs = min(capacity, MAX_PAIRS) or check_pairs(int(rank_start[-1]))
            tiles = count_tiles(cameras, *size)
            out = (order, rank_start, *list_arrays(depths[:0, :0], tiles, pairs, self)[2:6], records)
            scratch = self._scratch(depths, self.module.tiles_write_scratch(pairs))
            at = addresses_for(self.module, *footprints, *out, bands, scratch)
            self.module.tiles_write(cameras, count, *size, pairs, at, stream)
        return out

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


@cache
def core(name: str) -> Core:
    """The core of a backend: "cpu", or one of the three that run the CUDA kernels."""
    return CpuCore() if name == "cpu" else CudaCore(cuda_module(name))
