"""Every CUDA kernel once, in a process of its own: under emulation in several orders of the threads
(test_simt.py), or on a device under compute-sanitizer (tests/gpu/report.py).

    python kernel_workload.py REPETITIONS [cuda-simt | cuda]

Prints a digest for each repetition of what is promised to be the same in all of them. Under emulation each
has another order of the threads; SCTD_SIMT_MODULE names the module.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator

import torch
from raster_scenes import Scene, device_of, make_scene
from torch import Tensor
from triangle_scenes import soup

from sctd.ops import AdamGroup, adam_schedule, adam_step_, rasterization, triangles
from sctd.ops._backend import native_simt


def scenes() -> Iterator[tuple[Scene, dict[str, object]]]:
    """Small ones that reach every branch: harmonics, depth, several passes, absolute gradients, pixels that
    stop, a Gaussian over the whole picture, pictures that are no multiple of a tile, nothing visible."""
    yield make_scene(40, 35, 30, 2, seed=1, bases=4, size=0.15), {"sh_degree": 1, "render_mode": "RGB+D"}
    yield make_scene(30, 20, 33, 1, seed=2, channels=6, size=0.3), {}
    yield make_scene(90, 17, 18, 1, seed=3, size=0.4, opacity=4.0), {"absgrad": True}
    yield make_scene(3, 70, 40, 1, seed=4, size=2.0), {"rasterize_mode": "antialiased"}
    yield make_scene(5, 16, 16, 1, seed=5), {"near_plane": 100.0}


def values(scene: Scene, options: dict[str, object], backend: str) -> list[Tensor]:
    """Picture, alphas, every gradient; summed in slot order, so that no thread order may change a bit."""
    s, device = scene.to(torch.float32, backend), device_of(backend)
    channels = 3 if "sh_degree" in options else s.colors.shape[-1]
    background = torch.full((s.viewmats.shape[0], channels), 0.3, device=device, requires_grad=True)
    renders, alphas, meta = rasterization(*s, backgrounds=background, backend=backend, **options)  # type: ignore[arg-type]
    weight = torch.linspace(-1, 1, renders.numel(), device=device).reshape(renders.shape)
    ((renders * weight).sum() + alphas.square().sum()).backward()
    found = [renders.detach(), alphas.detach(), background.grad, *(t.grad for t in s[:6])]
    return [t for t in (*found, getattr(meta["means2d"], "absgrad", None)) if t is not None]


def optimised(backend: str) -> list[Tensor]:
    """Two Adam steps over two groups, clipped, the second one sparse."""
    shapes, device, betas = ((1500, 3), (1500,)), device_of(backend), {"beta1": 0.9, "beta2": 0.99}
    start = [torch.linspace(0, 1, 4 * math.prod(s)).reshape(4, *s).to(device) for s in shapes]
    groups = [AdamGroup(*(t.clone() for t in tensors)) for tensors in start]
    visible = torch.arange(1500, device=device) % 3 > 0
    for step in (1, 2):
        schedule = adam_schedule([0.1, 0.2], step=step, grad_clip_norm=1.0, device=device, **betas)
        seen = visible if step == 2 else None
        norms = adam_step_(groups, schedule, eps=1e-8, visible=seen, backend=backend, **betas)
    return [norms, *(t for group in groups for t in group)]


def triangle_values(backend: str) -> list[Tensor]:
    """The triangle ops and their gradients: faces that cross, that the near plane cuts, a texture."""
    device = device_of(backend)
    scene = soup(9, 18, 21, cameras=2, seed=5, behind=0.15)
    vertices, faces = scene.vertices.to(device).requires_grad_(), scene.faces.to(device)
    texels, attributes = (
        torch.linspace(-1, 1, math.prod(shape), device=device).reshape(shape).requires_grad_()
        for shape in ((4, 5, 5), (27, 7))
    )
    drawn = triangles.rasterize(vertices, faces, 18, 21, backend=backend)
    shaded = triangles.interpolate(attributes, vertices, faces, drawn, backend=backend)
    picture = shaded[..., 2:] * triangles.texture(texels, shaded[..., :2], backend=backend)
    picture = triangles.edge_gradient(picture, vertices, faces, drawn, backend=backend)
    picture.square().sum().backward()
    found = (picture.detach(), drawn.depth, vertices.grad, texels.grad, attributes.grad)
    return [t for t in found if t is not None]


def main(repetitions: int, backend: str = "cuda-simt") -> None:
    torch.use_deterministic_algorithms(True)
    for seed in range(repetitions):
        if backend == "cuda-simt":
            native_simt().set_seed(seed)
        digest = hashlib.sha256()
        for scene, options in scenes():
            for value in values(scene, options, backend):
                assert value.isfinite().all(), f"a value that is not finite, repetition {seed}"
                digest.update(value.cpu().numpy().tobytes())
        for value in (*optimised(backend), *triangle_values(backend)):
            digest.update(value.cpu().numpy().tobytes())
        print(digest.hexdigest())


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
