"""A script written for gsplat runs with its import changed, and nothing else."""

from __future__ import annotations

import inspect

import pytest
import torch

from sctd.ops import rasterization

# gsplat 1.5.3: names and defaults up to rasterize_mode, which may be passed by position.
GSPLAT = {
    "near_plane": 0.01,
    "far_plane": 1e10,
    "radius_clip": 0.0,
    "eps2d": 0.3,
    "sh_degree": None,
    "packed": True,
    "tile_size": 16,
    "backgrounds": None,
    "render_mode": "RGB",
    "sparse_grad": False,
    "absgrad": False,
    "rasterize_mode": "classic",
}

# Fits Gaussians to a picture and gathers what densification wants, as gsplat's examples do.
SCRIPT = """
import math
import torch
from gsplat import rasterization

torch.manual_seed(0)
device = "cpu"
N, H, W = 200, 40, 56
target = torch.ones(1, H, W, 3, device=device)
target[:, : H // 2, : W // 2] = torch.tensor([1.0, 0.0, 0.0])
target[:, H // 2 :, W // 2 :] = torch.tensor([0.0, 0.0, 1.0])
means = 2 * torch.rand(N, 3, device=device) - 1
scales = torch.full((N, 3), math.log(0.1), device=device)
quats = torch.randn(N, 4, device=device)
opacities = torch.zeros(N, device=device)
sh = torch.zeros(N, 4, 3, device=device)
viewmats = torch.eye(4, device=device)[None]
viewmats[:, 2, 3] = 4.0
focal = 0.5 * W / math.tan(0.25 * math.pi)
Ks = torch.tensor([[[focal, 0, W / 2], [0, focal, H / 2], [0, 0, 1]]], device=device)
params = [p.requires_grad_() for p in (means, scales, quats, opacities, sh)]
optimizer = torch.optim.Adam(params, 0.02)
grad2d, losses = torch.zeros(N), []
for step in range(40):
    renders, alphas, info = rasterization(
        means,
        quats / quats.norm(dim=-1, keepdim=True),
        torch.exp(scales),
        torch.sigmoid(opacities),
        sh,
        viewmats,
        Ks,
        W,
        H,
        sh_degree=min(1, step // 10),
        packed=False,
        absgrad=True,
        near_plane=0.01,
        far_plane=1e8,
        rasterize_mode="antialiased",
        render_mode="RGB+ED",
        channel_chunk=32,
        camera_model="pinhole",
    )
    colors, depths = renders[..., :3], renders[..., 3:]
    info["means2d"].retain_grad()
    loss = (colors + 1 - alphas - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    grads = info["means2d"].absgrad.clone()
    grads[..., 0] *= info["width"] / 2.0 * info["n_cameras"]
    grads[..., 1] *= info["height"] / 2.0 * info["n_cameras"]
    seen = (info["radii"] > 0.0).all(dim=-1)
    ids = torch.where(seen)[1]
    grad2d.index_add_(0, ids, grads[seen].norm(dim=-1))
    losses.append(loss.item())
"""


def test_a_gsplat_script_runs_with_another_import() -> None:
    assert SCRIPT.count("gsplat") == 1
    names: dict[str, object] = {}
    exec(SCRIPT.replace("from gsplat import", "from sctd import"), names)
    losses, grad2d = names["losses"], names["grad2d"]
    assert isinstance(losses, list)
    assert losses[-1] < 0.25 * losses[0]
    assert isinstance(grad2d, torch.Tensor)
    assert (grad2d > 0).sum() > 100
    assert isinstance(names["depths"], torch.Tensor)
    assert names["depths"].shape == (1, 40, 56, 1)


@pytest.mark.parametrize("name", GSPLAT)
def test_names_places_and_defaults_are_gsplats(name: str) -> None:
    """All but packed, whose default there is True: it is a layout of intermediate results."""
    parameters = inspect.signature(rasterization).parameters
    assert list(parameters).index(name) == 9 + list(GSPLAT).index(name)
    if name != "packed":
        assert parameters[name].default == GSPLAT[name]
