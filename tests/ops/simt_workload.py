"""Run by test_simt.py in processes of their own: every kernel once, over several orders of the threads.

    python simt_workload.py SEEDS

Prints one line for each seed: digests of what is promised to be the same for all of them. SCTD_SIMT_MODULE
names the module.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator

import torch
from raster_scenes import Scene, make_scene
from torch import Tensor

from sctd.ops import AdamGroup, adam_schedule, adam_step_, rasterization
from sctd.ops._backend import native_simt


def scenes() -> Iterator[tuple[Scene, dict[str, object]]]:
    """Small ones that reach every branch: harmonics, depth, several passes, absolute gradients, pixels that
    stop, a Gaussian over the whole picture, pictures that are no multiple of a tile, nothing visible."""
    yield make_scene(40, 35, 30, 2, seed=1, bases=4, size=0.15), {"sh_degree": 1, "render_mode": "RGB+D"}
    yield make_scene(30, 20, 33, 1, seed=2, channels=6, size=0.3), {}
    yield make_scene(90, 17, 18, 1, seed=3, size=0.4, opacity=4.0), {"absgrad": True}
    yield make_scene(3, 70, 40, 1, seed=4, size=2.0), {"rasterize_mode": "antialiased"}
    yield make_scene(5, 16, 16, 1, seed=5), {"near_plane": 100.0}


def values(scene: Scene, options: dict[str, object]) -> list[Tensor]:
    """Picture, alphas, every gradient; summed in slot order, so that no thread order may change a bit."""
    s = scene.to(torch.float32)
    background = torch.full((s.viewmats.shape[0], 3 if "sh_degree" in options else s.colors.shape[-1]), 0.3)
    background.requires_grad_()
    renders, alphas, meta = rasterization(*s, backgrounds=background, backend="cuda-simt", **options)  # type: ignore[arg-type]
    weight = torch.linspace(-1, 1, renders.numel()).reshape(renders.shape)
    ((renders * weight).sum() + alphas.square().sum()).backward()
    found = [renders.detach(), alphas.detach(), background.grad, *(t.grad for t in s[:6])]
    return [t for t in (*found, getattr(meta["means2d"], "absgrad", None)) if t is not None]


def optimised() -> list[Tensor]:
    """Two Adam steps over two groups, clipped, the second one sparse."""
    shapes = ((1500, 3), (1500,))
    groups = [AdamGroup(*(torch.linspace(0, 1, 4 * math.prod(s)).reshape(4, *s))) for s in shapes]
    visible = torch.arange(1500) % 3 > 0
    for step in (1, 2):
        schedule = adam_schedule([0.1, 0.2], step=step, beta1=0.9, beta2=0.99, grad_clip_norm=1.0)
        seen = visible if step == 2 else None
        norms = adam_step_(
            groups, schedule, beta1=0.9, beta2=0.99, eps=1e-8, visible=seen, backend="cuda-simt"
        )
    return [norms, *(t for group in groups for t in group)]


def main(seeds: int) -> None:
    torch.use_deterministic_algorithms(True)
    for seed in range(seeds):
        native_simt().set_seed(seed)
        digest = hashlib.sha256()
        for scene, options in scenes():
            for value in values(scene, options):
                assert value.isfinite().all(), f"a value that is not finite, seed {seed}"
                digest.update(value.numpy().tobytes())
        for value in optimised():
            digest.update(value.numpy().tobytes())
        print(digest.hexdigest())


if __name__ == "__main__":
    main(int(sys.argv[1]))
