"""gsplat's own densification on this rasterizer: its strategies and its trainer's call, as installed."""

from __future__ import annotations

import math
from typing import Any

import gsplat.strategy.ops
import pytest
import torch
from gsplat.cuda import _torch_impl
from gsplat.strategy import DefaultStrategy, MCMCStrategy
from raster_scenes import Scene, make_scene
from torch import Tensor

from sctd.ops import rasterization

Parameters = dict[str, torch.nn.Parameter]
Optimizers = dict[str, torch.optim.Optimizer]

KEYS = (
    *("batch_ids", "camera_ids", "gaussian_ids", "radii", "means2d", "depths", "conics", "opacities"),
    *("tile_width", "tile_height", "tiles_per_gauss", "isect_ids", "flatten_ids", "isect_offsets"),
    *("width", "height", "tile_size", "n_batches", "n_cameras"),
)
"""What gsplat 1.5.3 puts into its meta."""


def training(scene: Scene) -> tuple[Parameters, Optimizers]:
    """The scene's Gaussians as gsplat's examples store them, each with its own Adam."""
    stored = {
        "means": scene.means,
        "scales": scene.scales.log(),
        "quats": scene.quats,
        "opacities": torch.logit(scene.opacities),
        "sh0": scene.colors[:, :1],
        "shN": scene.colors[:, 1:],
    }
    params = {name: torch.nn.Parameter(t.float()) for name, t in stored.items()}
    return params, {name: torch.optim.Adam([p], lr=1e-2) for name, p in params.items()}


def rendered(
    params: Parameters, scene: Scene, camtoworlds: Tensor, masks: Tensor | None = None, **options: Any
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """gsplat's examples/simple_trainer.py asks with these names, its defaults among them."""
    renders, alphas, info = rasterization(
        means=params["means"],
        quats=params["quats"],
        scales=torch.exp(params["scales"]),
        opacities=torch.sigmoid(params["opacities"]),
        colors=torch.cat([params["sh0"], params["shN"]], 1),
        viewmats=torch.linalg.inv(camtoworlds),
        Ks=scene.Ks.float(),
        width=scene.width,
        height=scene.height,
        packed=False,
        sparse_grad=False,
        rasterize_mode="antialiased",
        distributed=False,
        camera_model="pinhole",
        with_ut=False,
        with_eval3d=False,
        sh_degree=1,
        near_plane=0.01,
        far_plane=1e10,
        **options,
    )
    if masks is not None:
        renders[~masks] = 0
    return renders, alphas, info


def cameras(scene: Scene) -> Tensor:
    return torch.linalg.inv(scene.viewmats).float()


def apply(optimizers: Optimizers) -> None:
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("absgrad", [False, True])
def test_the_default_strategy_grows_splits_and_prunes(absgrad: bool) -> None:
    scene = make_scene(60, 48, 40, 2, seed=21, size=0.05, bases=4)
    params, optimizers = training(scene)
    # the picture's gradients are high everywhere; half of the Gaussians are small, some are faint
    params["opacities"].data[:5] = torch.logit(torch.tensor(0.0045))
    strategy = DefaultStrategy(
        grow_grad2d=1e-5,
        grow_scale3d=0.05,
        refine_scale2d_stop_iter=100,
        refine_start_iter=1,
        refine_every=3,
        reset_every=5,
        absgrad=absgrad,
    )
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=1.0)
    losses, counts = [], []
    for step in range(8):
        renders, _, info = rendered(params, scene, cameras(scene), absgrad=absgrad)
        strategy.step_pre_backward(params, optimizers, state, step, info)
        loss = (renders - 0.5).square().mean()
        loss.backward()
        if step == 0:
            seen = (info["radii"] > 0).all(-1)
            grads = info["means2d"].absgrad if absgrad else info["means2d"].grad
            scaled = grads * torch.tensor([48 / 2 * 2, 40 / 2 * 2])
            want = (scaled.norm(dim=-1) * seen).sum(0)
        apply(optimizers)
        strategy.step_post_backward(params, optimizers, state, step, info, packed=False)
        if step == 0:
            torch.testing.assert_close(state["grad2d"], want)
            assert torch.equal(state["count"], seen.sum(0).float())
            assert state["grad2d"].max() > 0
        losses.append(loss.item())
        counts.append(params["means"].shape[0])
    assert counts[2] == 60
    assert counts[3] > 60  # grown, though the five faint ones are gone
    assert counts[6] != counts[3]
    assert all(math.isfinite(value) for value in losses)


def relocation(opacities: Tensor, scales: Tensor, ratios: Tensor, binoms: Tensor) -> tuple[Tensor, Tensor]:
    """Kheradmand et al. 2024, equation 9, in place of gsplat's CUDA kernel."""
    new = 1 - (1 - opacities) ** (1 / ratios)
    total = torch.zeros_like(new)
    for at, ratio in enumerate(ratios.tolist()):
        for i in range(1, int(ratio) + 1):
            for k in range(i):
                total[at] += binoms[i - 1, k] * (-1) ** k / math.sqrt(k + 1) * new[at] ** (k + 1)
    return new, (opacities / total)[:, None] * scales


def test_the_mcmc_strategy_relocates_adds_and_shakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of its kernels are CUDA alone: gsplat's own torch code and the paper's formula stand in."""
    monkeypatch.setattr(gsplat.strategy.ops, "compute_relocation", relocation)
    torch_covariances = _torch_impl._quat_scale_to_covar_preci
    monkeypatch.setattr(gsplat.strategy.ops, "quat_scale_to_covar_preci", torch_covariances)
    torch.manual_seed(22)
    scene = make_scene(60, 48, 40, 2, seed=22, size=0.05, bases=4)
    params, optimizers = training(scene)
    params["opacities"].data[:5] = torch.logit(torch.tensor(0.004))
    dead = params["means"].detach()[:5].clone()
    strategy = MCMCStrategy(cap_max=66, refine_start_iter=1, refine_every=2, noise_lr=10.0)
    strategy.check_sanity(params, optimizers)
    state, losses = strategy.initialize_state(), []
    for step in range(7):
        renders, _, info = rendered(params, scene, cameras(scene))
        loss = (renders - 0.5).square().mean() + 0.01 * torch.sigmoid(params["opacities"]).mean()
        loss.backward()
        losses.append(loss.item())
        apply(optimizers)
        strategy.step_post_backward(params, optimizers, state, step, info, lr=1e-2)
    assert params["means"].shape[0] == 66
    assert (params["means"][:5] - dead).norm(dim=-1).min() > 0.1
    assert torch.sigmoid(params["opacities"]).min() > 0.004
    assert all(p.isfinite().all() for p in params.values())
    assert all(math.isfinite(value) for value in losses)


def test_the_trainers_call_with_poses_masks_and_depths() -> None:
    scene = make_scene(40, 48, 40, 2, seed=23, size=0.1, bases=4)
    params, _ = training(scene)
    poses = cameras(scene).requires_grad_()
    masks = torch.ones(2, 40, 48, dtype=torch.bool)
    masks[:, :10] = False
    renders, alphas, info = rendered(params, scene, poses, masks, render_mode="RGB+ED", absgrad=True)
    colors, depths = renders[..., :3], renders[..., 3:]
    (colors + torch.rand(1, 3) * (1 - alphas)).square().mean().backward(retain_graph=True)
    depths.mean().backward()
    assert renders[:, :10].abs().max() == 0
    assert poses.grad is not None
    for gradient in (poses.grad, *(p.grad for p in params.values())):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0
    seen = (info["radii"] > 0).all(-1).any(0)
    assert seen.shape == (40,)


@pytest.mark.parametrize("tile_size", [16, 7])
@pytest.mark.parametrize("backend", ["cpu", "cuda-simt", "cuda-ptx", "reference"])
def test_meta_is_gsplats(backend: str, tile_size: int) -> None:
    scene = make_scene(50, 40, 33, 3, seed=24, size=0.15)
    args = (t.float() if isinstance(t, Tensor) else t for t in scene)
    _, _, meta = rasterization(*args, tile_size=tile_size, backend=backend)
    for key in KEYS:
        assert key in meta
        assert meta.get(key, meta) is not meta
    across, down = math.ceil(40 / tile_size), math.ceil(33 / tile_size)
    sizes = {"width": 40, "height": 33, "tile_size": tile_size, "tile_width": across, "tile_height": down}
    assert {name: meta[name] for name in sizes} == sizes
    assert (meta["n_batches"], meta["n_cameras"], meta["gaussian_ids"], meta["camera_ids"]) == (
        1,
        3,
        None,
        None,
    )
    footprints = (meta["means2d"], meta["radii"], meta["depths"])
    per_gauss, isect_ids, flatten_ids = _torch_impl._isect_tiles(*footprints, tile_size, across, down)
    offsets = _torch_impl._isect_offset_encode(isect_ids, 3, across, down)
    wanted = {"tiles_per_gauss": per_gauss, "isect_ids": isect_ids, "flatten_ids": flatten_ids}
    for name, want in {**wanted, "isect_offsets": offsets}.items():
        assert meta[name].dtype == want.dtype
        assert torch.equal(meta[name], want), name
        assert meta[name] is meta[name]  # computed once


def test_tile_lists_of_nothing() -> None:
    scene = make_scene(1, 40, 33, 2)
    none = scene._replace(**{n: getattr(scene, n)[:0] for n in Scene._fields[:5]})
    away = scene._replace(viewmats=scene.viewmats - 100 * torch.eye(4)[2][:, None] * torch.eye(4)[3])
    for empty in (none, away):
        meta = rasterization(*empty)[2]
        assert meta["isect_ids"].shape == meta["flatten_ids"].shape == (0,)
        assert torch.equal(meta["isect_offsets"], torch.zeros(2, 3, 3, dtype=torch.int32))


def test_a_key_that_nobody_has_is_a_key_error() -> None:
    meta = rasterization(*make_scene(5))[2]
    assert "normals" not in meta
    assert meta.get("normals") is None
    with pytest.raises(KeyError, match="normals"):
        meta["normals"]
