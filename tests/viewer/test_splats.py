"""What viser is sent agrees with what our own rasterizer makes of the same Gaussians."""

from __future__ import annotations

import torch
from seen import flag_bearer

from sctd.cameras import CameraBatch, look_at
from sctd.gaussians import rotations
from sctd.ops.reference_raster import sh_basis
from sctd.render import render
from sctd.viewer.splats import Splats

EYE = torch.tensor([1.0, 0.8, 2.5])


def test_rotations_are_those_of_the_half_angle_formula() -> None:
    """A quarter turn about z takes x to y; the length of a quaternion says nothing."""
    turn = rotations(torch.tensor([[2.0, 0.0, 0.0, 2.0]]))[0]
    assert torch.allclose(turn @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6)
    matrices = rotations(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(50), atol=1e-5)


def test_colours_are_those_that_the_rasterizer_blends() -> None:
    """One opaque Gaussian at a time fills a pixel with its own colour."""
    asset = flag_bearer(degree=3, count=8)
    splats = Splats.of(asset)
    colors = splats.colors("colour", EYE, torch.tensor([0.0, 0, -1]))
    for k in range(len(asset)):
        one = type(asset)(**{name: p[k : k + 1].clone() for name, p in asset.parameters().items()})
        one.scales.fill_(1.0)
        one.opacities.fill_(20.0)
        camera = CameraBatch(
            look_at(EYE[None], one.means, torch.tensor([[0.0, 1, 0]])),
            torch.tensor([[[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]]),
            16,
            16,
            *(torch.zeros(1) for _ in range(4)),
        )
        seen = render(one, camera, torch.zeros(1, 3))
        blended = seen.rgb[0, :, 8, 8] / seen.alpha[0, 0, 8, 8]
        assert torch.allclose(blended.clamp(0, 1), colors[k], atol=2e-3)


def test_depth_is_along_the_view_and_falls_away_from_the_camera() -> None:
    splats = Splats.of(flag_bearer(count=40))
    forward = torch.tensor([0.0, 0.0, -1.0])
    grey = splats.colors("depth", EYE, forward)
    assert grey.shape == (40, 3)
    assert (grey[:, 0] == grey[:, 2]).all()
    order = splats.means[:, 2].argsort(descending=True)  # nearest first
    assert (grey[order, 0].diff() <= 0).all()
    assert torch.allclose(grey.max(), torch.tensor(1.0))
    assert torch.allclose(grey.min(), torch.tensor(0.15))
    assert splats.colors("alpha", EYE, forward).eq(1).all()


def test_the_threshold_leaves_out_what_is_fainter() -> None:
    asset = flag_bearer(degree=1)
    opacities = torch.sigmoid(asset.opacities)
    splats = Splats.of(asset, 0.9)
    assert len(splats) == int((opacities >= 0.9).sum())
    assert 0 < len(splats) < len(asset)
    assert splats.depends_on_view
    assert not Splats.of(flag_bearer(degree=0)).depends_on_view
    nothing = Splats.of(asset, 1.1)
    assert nothing.colors("depth", EYE, EYE).shape == nothing.colors("colour", EYE, EYE).shape == (0, 3)


def test_basis_has_as_many_functions_as_coefficients() -> None:
    for degree in range(4):
        basis = sh_basis(torch.tensor([[0.0, 0, 1]]), degree)
        assert basis.shape == (1, Splats.of(flag_bearer(degree)).sh.shape[1])
