"""Materials in a light: tables against integrals that know nothing of them, gradients, training, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from shells import sphere, sphere_points
from small import small_config
from torch import Tensor
from torch.nn.functional import normalize

from sctd.cameras import orbit_cameras
from sctd.config.mesh import MeshSettings
from sctd.config.surface import SurfaceSettings
from sctd.formats.srgb import srgb_to_linear
from sctd.formats.table import MESH_WRITERS
from sctd.mesh.trained.colored import ColoredMesh, mesh_images
from sctd.mesh.trained.finish import finished
from sctd.mesh.trained.light import SMOOTHEST, shaded, sky, split_sum
from sctd.mesh.trained.start import first_mesh
from sctd.mesh.trained.trained import TrainedMesh


def reflected(n: Tensor, v: Tensor, towards: Tensor, roughness: float, f0: Tensor) -> Tensor:
    """GGX with Smith's shadowing and Schlick's Fresnel, times the cosine: [L, len(f0)], for light from L."""
    half = normalize(towards + v, dim=1)
    n_l, n_h, v_h = (towards @ n).clamp_min(0), half @ n, half @ v
    n_v, a, k = n @ v, roughness**2, roughness**2 / 2
    density = a**2 / (np.pi * (n_h**2 * (a**2 - 1) + 1) ** 2)
    shadow = n_v / (n_v * (1 - k) + k) * n_l / (n_l * (1 - k) + k)
    fresnel = f0 + (1 - f0) * (1 - v_h).clamp(0, 1)[:, None] ** 5
    return (density * shadow / (4 * n_v))[:, None] * fresnel


@pytest.mark.parametrize("row", [2, 4, 7])
def test_the_table_is_the_integral_over_random_directions(row: int) -> None:
    """Under white light, for all and for none reflected at right angles."""
    table, draws = split_sum(8), torch.Generator().manual_seed(5)
    towards = normalize(torch.randn(200_000, 3, generator=draws, dtype=torch.float64), dim=1)
    n, roughness = torch.tensor([0.0, 0, 1]).double(), float(torch.linspace(SMOOTHEST, 1, 8)[row])
    for column in (1, 4, 7):
        cosine = (column + 1) / 8
        v = torch.tensor([(1 - cosine**2) ** 0.5, 0, cosine]).double()
        scale, offset = table[:, row, column]
        want = 4 * np.pi * reflected(n, v, towards, roughness, torch.tensor([0.0, 1.0])).mean(0)
        found = torch.stack((offset, scale + offset))
        torch.testing.assert_close(found, want, rtol=0.02, atol=0.004)


def test_the_light_is_one_on_the_mean() -> None:
    assert sky(sphere_points(20_000)).mean(0).tolist() == pytest.approx([1, 1, 1], abs=0.004)


@pytest.mark.parametrize(("roughness", "metal"), [(0.9, 0.0), (0.6, 1.0), (0.4, 0.5)])
def test_what_is_seen_is_the_integral_of_the_light(roughness: float, metal: float) -> None:
    """From the front, where the split itself is off by a tenth at most; two of six sides meet a box."""
    towards, base = sphere_points(60_000).double(), torch.tensor([0.7, 0.4, 0.1])
    sides = normalize(
        torch.tensor([[0.6, 0.7, 0.8], [-0.8, 0.4, -0.5], [1, 0, 0], [0, 1, 0], [0, -1, 0.1], [0, 0, 1]])
    )
    material = torch.cat((base, torch.tensor([roughness, metal]))).expand(6, -1)
    found = srgb_to_linear(shaded(material, 3 * sides, 0.5 * sides)).double()
    albedo = srgb_to_linear(base).double()
    matt = albedo * (1 - metal) / np.pi
    for k, n in enumerate(sides.double()):
        f0 = 0.04 * (1 - metal) + albedo * metal
        sent = reflected(n, n, towards, roughness, f0) + matt * (towards @ n).clamp_min(0)[:, None]
        want = 4 * np.pi * (sent * sky(towards)).mean(0)
        torch.testing.assert_close(found[k], want.clamp_max(1), rtol=0.1, atol=0.004)


def test_the_gradient_is_that_of_finite_differences() -> None:
    draws = torch.Generator().manual_seed(2)
    normals = normalize(torch.randn(300, 3, generator=draws), dim=1)
    toward = normals + 0.5 * torch.randn(300, 3, generator=draws)
    material = 0.15 + 0.6 * torch.rand(300, 5, generator=draws)
    weights = torch.rand(300, 3, generator=draws)

    def loss(at: Tensor) -> Tensor:
        return (weights * shaded(at, normals, toward)).double().sum()

    leaf = material.clone().requires_grad_()
    loss(leaf).backward()
    assert leaf.grad is not None
    for channel in range(5):
        move = torch.zeros(5).index_fill(0, torch.tensor([channel]), 1e-3)
        want = float(loss(material + move) - loss(material - move)) / 2e-3
        assert float(leaf.grad[:, channel].sum()) == pytest.approx(want, rel=0.02, abs=0.05)
    black = torch.zeros(300, 5, requires_grad=True)
    loss(black).backward()
    assert bool(black.grad is not None and black.grad.isfinite().all())


@pytest.fixture(scope="module")
def ball() -> ColoredMesh:
    settings = SurfaceSettings(resolution=8, color_resolution=8, views=16, view_size=64)
    return first_mesh(sphere(torch.zeros(3), 0.5, count=400), settings)


def test_a_material_approaches_pictures_of_another_and_the_surface_stays(ball: ColoredMesh) -> None:
    """Gold from grey. A run that goes on from a state goes on with the same bits."""
    own = (
        "representation=mesh",
        "surface.shown=material",
        "surface.resolution=8",
        "surface.colors.start=3e-2",
    )
    config = small_config(30, "sctd.as_latent=0", *own, "surface.colors.end=1e-2")
    cameras, generator = orbit_cameras(4, 20.0, 3.0, 25.0, 24), torch.Generator()
    asset = TrainedMesh(ball, config)
    gold = ColoredMesh(ball.settings, ball.tensors, ball.colors.as_material())
    wanted = torch.tensor([0.9, 0.7, 0.2, 0.3, 1.0])
    gold.colors.values.copy_(wanted[:, None, None, None].expand_as(gold.colors.values))
    want = (
        TrainedMesh(gold, config).draw(cameras, torch.ones(4, 3), 0, generator, disparity=False).rgb.detach()
    )

    def step(mesh: TrainedMesh, i: int) -> float:
        picture = mesh.draw(cameras, torch.ones(4, 3), i, generator, disparity=False)
        assert mesh.terms(picture) == []
        loss = (picture.rgb - want).square().mean()
        loss.backward()
        mesh.update(picture, i, torch.ones(1), generator)
        return float(loss.detach())

    before = {name: t.clone() for name, t in asset.state_dict()["surface"].items()}
    losses = [step(asset, i) for i in range(28)]
    assert losses[-1] < 0.2 * losses[0], losses
    state = {part: {name: t.clone() for name, t in ts.items()} for part, ts in asset.state_dict().items()}
    assert all(torch.equal(t, before[name]) for name, t in state["surface"].items())
    other = TrainedMesh(TrainedMesh.first_of(state, config), config)
    other.load_state_dict(state)
    for mesh in (asset, other):
        assert step(mesh, 28) < losses[0]
    assert torch.equal(asset.result().colors.values, other.result().colors.values)
    shown = mesh_images(asset.result(), cameras)
    assert float((shown.permute(0, 3, 1, 2) / 255 - want).abs().mean()) < 0.05


def test_a_file_has_the_material_for_other_programs(
    tmp_path: Path, ball: ColoredMesh, node: Callable[..., str]
) -> None:
    colors = ball.colors.as_material()
    colors.values[3:] = torch.tensor([0.25, 0.75])[:, None, None, None]
    found = finished(ColoredMesh(ball.settings, ball.tensors, colors), MeshSettings(faces=500, texture=64))
    assert "roughness and metal" in found.told()
    MESH_WRITERS[".glb"](tmp_path / "a.glb", found.mesh)
    assert json.loads(node("validate.mjs", tmp_path / "a.glb")) == []
    material = trimesh.load(tmp_path / "a.glb", force="mesh", process=False).visual.material
    packed = np.asarray(material.metallicRoughnessTexture)
    assert np.unique(packed.reshape(-1, 3), axis=0).tolist() == [[255, 64, 191]]
    assert np.asarray(material.baseColorTexture).shape == (64, 64, 3)
    assert (material.metallicFactor, material.roughnessFactor) in [(None, None), (1.0, 1.0)]
