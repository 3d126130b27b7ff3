"""Camera geometry against matrices worked out by hand, and the ranges that cameras are drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sctd.cameras import eased_range, intrinsics, look_at, orbit_cameras, positions, sample_cameras
from sctd.config import load_config
from sctd.config.asset import CameraSettings

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def project(viewmat: Tensor, K: Tensor, point: tuple[float, float, float]) -> tuple[float, float, float]:
    """Pixel coordinates and depth of a world point."""
    seen = viewmat[:3, :3] @ torch.tensor(point) + viewmat[:3, 3]
    u, v, w = (K @ seen).tolist()
    return u / w, v / w, w


def test_front_camera_is_the_known_matrix() -> None:
    front = orbit_cameras(1, 0.0, 3.0, 90.0, 64)
    expected = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
    torch.testing.assert_close(front.viewmats[0], expected, atol=1e-6, rtol=0)
    # a field of 90 degrees: the focal length is half the height
    torch.testing.assert_close(front.Ks[0], torch.tensor([[32.0, 0, 32], [0, 32, 32], [0, 0, 1]]))


def test_left_side_camera_stands_on_plus_x() -> None:
    side = orbit_cameras(4, 0.0, 2.0, 90.0, 64)
    expected = torch.tensor([[0.0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 2], [0, 0, 0, 1]])
    torch.testing.assert_close(side.viewmats[1], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        torch.rad2deg(side.azimuth), torch.tensor([0.0, 90.0, -180.0, -90.0]), atol=1e-4, rtol=0
    )


def test_what_is_up_is_up_and_the_objects_left_is_right_in_front() -> None:
    cameras = orbit_cameras(1, 0.0, 3.0, 40.0, 64)
    u, v, depth = project(cameras.viewmats[0], cameras.Ks[0], (0.5, 0.5, 0.0))
    assert u > 32
    assert v < 32
    assert depth == pytest.approx(3.0)
    assert project(cameras.viewmats[0], cameras.Ks[0], (0.0, 0.0, 1.0))[2] == pytest.approx(2.0)


@pytest.mark.parametrize("elevation", [-60.0, 0.0, 35.0, 89.0])
def test_every_camera_looks_at_the_origin_from_its_radius(elevation: float) -> None:
    cameras = orbit_cameras(7, elevation, 3.2, 40.0, 48)
    for viewmat, K in zip(cameras.viewmats, cameras.Ks, strict=True):
        rotation = viewmat[:3, :3]
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
        assert torch.linalg.det(rotation) == pytest.approx(1.0, abs=1e-5)
        u, v, depth = project(viewmat, K, (0.0, 0.0, 0.0))
        assert (u, v, depth) == (pytest.approx(24, abs=1e-3), pytest.approx(24, abs=1e-3), pytest.approx(3.2))
        eye = -rotation.T @ viewmat[:3, 3]
        assert math.degrees(math.asin(float(eye[1]) / 3.2)) == pytest.approx(elevation, abs=0.05)


def test_positions_follow_the_conventions() -> None:
    az, el = torch.tensor([0.0, math.pi / 2, 0.0]), torch.tensor([0.0, 0.0, math.pi / 2])
    expected = torch.tensor([[0.0, 0, 2], [2, 0, 0], [0, 2, 0]])
    torch.testing.assert_close(positions(az, el, torch.full((3,), 2.0)), expected, atol=1e-6, rtol=0)


def test_intrinsics_of_a_wide_image_keep_pixels_square() -> None:
    K = intrinsics(torch.tensor([math.radians(60)]), 200, 100)[0]
    assert float(K[0, 0]) == float(K[1, 1]) == pytest.approx(50 / math.tan(math.radians(30)))
    assert (float(K[0, 2]), float(K[1, 2])) == (100, 50)


def test_look_at_keeps_the_horizon_level() -> None:
    viewmat = look_at(torch.tensor([[1.0, 2, 3]]), torch.tensor([[0.3, 0, 0]]), torch.tensor([[0.0, 1, 0]]))[
        0
    ]
    assert float(viewmat[0, 1]) == pytest.approx(0, abs=1e-6)  # right has no upward part
    assert float(viewmat[1, 1]) < 0  # down points down


def draw(settings: CameraSettings, n: int, iteration: int = 0):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(5)
    return [sample_cameras(settings, iteration, generator) for _ in range(n)]


def test_embedded_cameras_are_evenly_spaced_and_in_range() -> None:
    settings = CameraSettings()
    batches = draw(settings, 200)
    for cameras in batches:
        gaps = torch.remainder(cameras.azimuth.sort().values.diff(), 2 * math.pi)
        torch.testing.assert_close(gaps, torch.full((3,), math.pi / 2), atol=1e-5, rtol=0)
        torch.testing.assert_close(cameras.viewmats[:, :3, 3].norm(dim=1), cameras.radius)
    elevation = torch.rad2deg(torch.cat([c.elevation for c in batches]))
    radius = torch.cat([c.radius for c in batches])
    azimuth = torch.cat([c.azimuth for c in batches])
    assert elevation.min() >= -8.001
    assert elevation.max() <= 80.001
    assert float((elevation > 45).float().mean()) == pytest.approx(0.1, abs=0.035)  # 3 sigma of 800 draws
    assert radius.min() >= 2.8
    assert radius.max() <= 3.5
    assert azimuth.min() >= -math.pi
    assert azimuth.max() <= math.pi
    assert float((azimuth > 0).float().mean()) == pytest.approx(0.5)


def test_released_cameras_ease_and_stop() -> None:
    c = load_config("sd21", prompt="x").cameras
    factor = (c.radius_factor,) * 2
    assert eased_range(c.radius, c.radius_end, factor, 0) == (5.2, 5.5)
    assert eased_range(c.radius, c.radius_end, factor, 1) == pytest.approx((4.94, 5.225))
    assert eased_range(c.radius, c.radius_end, factor, 2) == pytest.approx((4.693, 5.0))
    assert eased_range(c.radius, c.radius_end, factor, 50) == (3.5, 5.0)
    assert eased_range(c.fovy_rad, c.fovy_end_rad, c.fovy_factor, 1) == pytest.approx((0.24, 0.60))
    assert eased_range(c.fovy_rad, c.fovy_end_rad, c.fovy_factor, 9) == (0.16, 0.60)
    late = torch.cat([b.radius for b in draw(c, 100, iteration=4999)])
    assert late.min() < 3.6
    assert late.min() > 3.27
    assert late.max() <= 5.0


def test_released_jitter_moves_the_camera_but_not_its_words() -> None:
    c = load_config("sd21", prompt="x").cameras
    still = c.model_copy(update={"jitter_position": 0.0, "jitter_target": 0.0, "jitter_up": 0.0})
    moved, exact = draw(c, 1)[0], draw(still, 1)[0]
    assert torch.equal(moved.azimuth, exact.azimuth)
    assert torch.equal(moved.elevation, exact.elevation)
    difference = (moved.viewmats - exact.viewmats).abs().max()
    assert 1e-3 < difference < 0.5


def test_gamma_crowds_the_cameras_round_the_middle_as_released() -> None:
    """rand_cam_gamma: the distance from the middle is u^gamma, whose median is 0.5^1.5 of 180 degrees."""
    settings = CameraSettings(
        batch=64, azimuth="random", elevation_deg=(0, 30), high_probability=0, gamma=1.5
    )
    generator = torch.Generator().manual_seed(1)
    found = [sample_cameras(settings, 0, generator) for _ in range(60)]
    azimuth, elevation = (torch.cat([getattr(c, k) for c in found]) for k in ("azimuth", "elevation"))
    off = torch.rad2deg(azimuth).abs()
    assert float(off.median()) == pytest.approx(180 * 0.5**1.5, abs=4)
    height = torch.rad2deg(elevation)
    assert float((height - 15).abs().median()) == pytest.approx(15 * 0.5**1.5, abs=0.4)
    assert 0 <= float(height.min()) < float(height.max()) <= 30


def test_same_generator_state_same_cameras() -> None:
    one, two = draw(CameraSettings(), 3)[2], draw(CameraSettings(), 3)[2]
    assert torch.equal(one.viewmats, two.viewmats)
    assert not torch.equal(one.viewmats, draw(CameraSettings(), 2)[1].viewmats)
