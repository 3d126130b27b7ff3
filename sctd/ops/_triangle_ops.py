"""The triangle ops on the native cores: gradients for autograd, and how each core is called.

:mod:`sctd.ops.triangles` checks the tensors; this module makes them contiguous and allocates outputs.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor

from sctd.errors import TooLarge
from sctd.ops._backend import cuda_module, native
from sctd.ops._checks import addresses, addresses_for, stream_of
from sctd.ops._first_order import first_order

Lists = tuple[Tensor, Tensor]
"""Corners 3 * face + corner by vertex: where a vertex's begin, [V + 1]; the corners, ascending, [3 F]."""
Sizes = tuple[int, int, int, int, int]
"""Cameras, vertices, faces, width, height."""


class Core(Protocol):
    """What the ops need of a native core; contiguous tensors in and out, None for absent."""

    def corner_lists(self, faces: Tensor, vertices: int) -> Lists: ...

    def draw(self, sizes: Sizes, clip: Tensor, faces: Tensor, out: tuple[Tensor, ...]) -> None: ...

    def interpolate(
        self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], image: Tensor
    ) -> None: ...

    def interpolate_backward(
        self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None: ...

    def edge_backward(self, sizes: Sizes, inputs: tuple[Tensor, ...], g_clip: Tensor) -> None: ...

    def texture(self, repeat: bool, image: Tensor, uv: Tensor, out: Tensor) -> None: ...

    def texture_backward(
        self, repeat: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None: ...


class CpuCore:
    """C++ on CPU tensors, float32 and float64."""

    def __init__(self) -> None:
        self.module = native()

    def corner_lists(self, faces: Tensor, vertices: int) -> Lists:
        start, corners = faces.new_empty(vertices + 1), faces.new_empty(faces.numel())
        self.module.triangle_corners(vertices, len(faces), addresses(faces, start, corners))
        return start, corners

    def draw(self, sizes: Sizes, clip: Tensor, faces: Tensor, out: tuple[Tensor, ...]) -> None:
        self.module.triangle_draw(_f64(clip), self.module.MeshShape(*sizes), addresses(clip, faces, *out))

    def interpolate(self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], image: Tensor) -> None:
        shape, at = self.module.MeshShape(*sizes), addresses(*inputs, image)
        self.module.triangle_interpolate(_f64(image), shape, image.shape[-1], per_camera, at)

    def interpolate_backward(
        self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None:
        shape, at, attributes = self.module.MeshShape(*sizes), addresses(*inputs, *out), inputs[0]
        channels = attributes.shape[-1]
        self.module.triangle_interpolate_backward(_f64(attributes), shape, channels, per_camera, at)

    def edge_backward(self, sizes: Sizes, inputs: tuple[Tensor, ...], g_clip: Tensor) -> None:
        shape, image = self.module.MeshShape(*sizes), inputs[0]
        at = addresses(*inputs, g_clip)
        self.module.triangle_edge_backward(_f64(image), shape, image.shape[-1], at)

    def texture(self, repeat: bool, image: Tensor, uv: Tensor, out: Tensor) -> None:
        self.module.texture(_f64(image), *_texture_sizes(image, uv), repeat, addresses(image, uv, out))

    def texture_backward(
        self, repeat: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None:
        sizes = _texture_sizes(*inputs[:2])
        self.module.texture_backward(_f64(inputs[0]), *sizes, repeat, addresses(*inputs, *out))


def _f64(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float64


def _texture_sizes(image: Tensor, uv: Tensor) -> tuple[int, int, int, int]:
    height, width, channels = image.shape
    return uv.numel() // 2, channels, width, height


MOST = 2**31 - 1
"""What CUDA counts with 32 bits: numbers of the faces' corners, 12 each; places of a texture."""


class CudaCore:
    """The CUDA kernels, float32, on the tensors' device and its current stream; or emulated, or executed, on
    CPU tensors."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def _run(
        self, name: str, like: Tensor, sizes: tuple[Any, ...], tensors: tuple[Tensor | None, ...]
    ) -> None:
        with stream_of(like) as stream:
            getattr(self.module, name)(*sizes, addresses_for(self.module, *tensors), stream)

    def _shape(self, sizes: Sizes) -> Any:
        if 12 * sizes[0] * sizes[2] > MOST:
            raise TooLarge(
                f"at most {MOST // 12} faces on CUDA, counted once for each camera; "
                f"got {sizes[0]} x {sizes[2]}"
            )
        return self.module.MeshShape(*sizes)

    def _scratch(self, name: str, like: Tensor, *sizes: Any) -> Tensor:
        size = getattr(self.module, f"{name}_scratch")(*sizes)
        return torch.empty(size, dtype=torch.uint8, device=like.device)

    def corner_lists(self, faces: Tensor, vertices: int) -> Lists:
        flat = faces.flatten()
        order = torch.sort(flat, stable=True)[1].int()
        start = torch.zeros(vertices + 1, dtype=torch.int32, device=faces.device)
        start[1:] = torch.bincount(flat, minlength=vertices)[:vertices].cumsum(0)
        return start, order

    def draw(self, sizes: Sizes, clip: Tensor, faces: Tensor, out: tuple[Tensor, ...]) -> None:
        shape = self._shape(sizes)
        scratch = self._scratch("triangle_draw", clip, shape)
        self._run("triangle_draw", clip, (shape,), (clip, faces, *out, scratch))

    def interpolate(self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], image: Tensor) -> None:
        self._run(
            "triangle_interpolate", image, (self._shape(sizes), image.shape[-1], per_camera), (*inputs, image)
        )

    def interpolate_backward(
        self, sizes: Sizes, per_camera: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None:
        name, shape, attributes = "triangle_interpolate_backward", self._shape(sizes), inputs[0]
        scratch = self._scratch(name, attributes, shape)
        self._run(name, attributes, (shape, attributes.shape[-1], per_camera), (*inputs, *out, scratch))

    def edge_backward(self, sizes: Sizes, inputs: tuple[Tensor, ...], g_clip: Tensor) -> None:
        name, shape = "triangle_edge_backward", self._shape(sizes)
        scratch = self._scratch(name, g_clip, shape)
        self._run(name, g_clip, (shape, inputs[0].shape[-1]), (*inputs, g_clip, scratch))

    def texture(self, repeat: bool, image: Tensor, uv: Tensor, out: Tensor) -> None:
        self._run("texture", image, (*self._texture_sizes(image, uv), repeat), (image, uv, out))

    def texture_backward(
        self, repeat: bool, inputs: tuple[Tensor, ...], out: tuple[Tensor | None, ...]
    ) -> None:
        image, uv = inputs[:2]
        count, channels, width, height = self._texture_sizes(image, uv)
        scratch = self._scratch("texture_backward", image, count, width, height)
        sizes = (count, channels, width, height, repeat)
        self._run("texture_backward", image, sizes, (*inputs, *out, scratch))

    @staticmethod
    def _texture_sizes(image: Tensor, uv: Tensor) -> tuple[int, int, int, int]:
        sizes = _texture_sizes(image, uv)
        if sizes[0] > MOST:
            raise TooLarge(f"at most {MOST} places of a texture on CUDA; got {sizes[0]}")
        return sizes


@cache
def core(name: str) -> Core:
    """The core of a backend: "cpu", or one of the three that run the CUDA kernels."""
    return CpuCore() if name == "cpu" else CudaCore(cuda_module(name))


def _sizes(clip: Tensor, faces: Tensor, triangles: Tensor) -> Sizes:
    return clip.shape[0], clip.shape[1], len(faces), triangles.shape[2], triangles.shape[1]


def _gradients(ctx: Any, *inputs: Tensor) -> tuple[Tensor | None, ...]:
    """Unfilled, for the first inputs, where they are wanted."""
    return tuple(torch.empty_like(t) if ctx.needs_input_grad[i] else None for i, t in enumerate(inputs))


def rasterize(
    clip: Tensor, faces: Tensor, height: int, width: int, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """=> triangles [C, H, W] int32, barycentrics [C, H, W, 3], depth [C, H, W]."""
    clip = clip.detach().contiguous()
    shape = (clip.shape[0], height, width)
    out = (clip.new_empty(shape, dtype=torch.int32), clip.new_empty(*shape, 3), clip.new_empty(shape))
    core(backend).draw(_sizes(clip, faces, out[0]), clip, faces, out)
    return out


class Interpolate(torch.autograd.Function):
    """attributes, vertices | topology, triangles, barycentrics, backend => image."""

    @staticmethod
    def forward(ctx: Any, attributes: Tensor, clip: Tensor, topology: Any, *rest: Any) -> Tensor:
        triangles, barycentrics, backend = rest
        inputs = tuple(t.contiguous() for t in (attributes, clip, topology.faces, triangles, barycentrics))
        image = attributes.new_empty(*triangles.shape, attributes.shape[-1])
        sizes = _sizes(clip, topology.faces, triangles)
        core(backend).interpolate(sizes, attributes.dim() == 3, inputs, image)
        ctx.save_for_backward(*inputs)
        ctx.sizes, ctx.topology, ctx.backend = sizes, topology, backend
        return image

    @staticmethod
    @first_order("interpolate")
    def backward(ctx: Any, g_image: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        out = _gradients(ctx, *inputs[:2])
        per_camera = inputs[0].dim() == 3
        given = (*inputs, *ctx.topology.lists(ctx.backend), g_image.contiguous())
        core(ctx.backend).interpolate_backward(ctx.sizes, per_camera, given, out)
        return (*out, None, None, None, None)


class EdgeGradient(torch.autograd.Function):
    """image, vertices | topology, triangles, barycentrics, backend => the image."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, clip: Tensor, topology: Any, *rest: Any) -> Tensor:
        triangles, barycentrics, backend = rest
        ctx.save_for_backward(image, clip, triangles, barycentrics)
        ctx.topology, ctx.backend = topology, backend
        return image.view_as(image)

    @staticmethod
    @first_order("edge_gradient")
    def backward(ctx: Any, g_image: Tensor) -> tuple[Tensor | None, ...]:
        g_clip = None
        if ctx.needs_input_grad[1]:
            image, clip, triangles, barycentrics = (t.contiguous() for t in ctx.saved_tensors)
            topology = ctx.topology
            inputs = (image, clip, topology.faces, triangles, barycentrics, *topology.lists(ctx.backend))
            g_clip, g = torch.empty_like(clip), g_image.contiguous()
            core(ctx.backend).edge_backward(_sizes(clip, topology.faces, triangles), (*inputs, g), g_clip)
        return g_image, g_clip, None, None, None, None


class Texture(torch.autograd.Function):
    """image, uv | repeat, backend => values."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, uv: Tensor, repeat: bool, backend: str) -> Tensor:
        image, uv = image.contiguous(), uv.contiguous()
        out = image.new_empty(*uv.shape[:-1], image.shape[-1])
        core(backend).texture(repeat, image, uv, out)
        ctx.save_for_backward(image, uv)
        ctx.repeat, ctx.backend = repeat, backend
        return out

    @staticmethod
    @first_order("texture")
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        out = _gradients(ctx, *inputs[:2])
        core(ctx.backend).texture_backward(ctx.repeat, (*inputs, g_out.contiguous()), out)
        return (*out, None, None)
