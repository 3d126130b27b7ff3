"""The solid that meshes are measured against is the one that the truth shows, in every world."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.mesh_measures import true_cloud
from sctd.cameras import orbit_cameras
from sctd.embedded.truth import truth_from
from sctd.embedded.world import WORLDS, world_named

SIZE, ALONG = 32, 400


@pytest.mark.parametrize(
    ("name", "prompt"),
    [("small", "a red chair"), ("rich", "a corgi wearing a top hat"), ("rich", "a cat on a striped chair")],
)
def test_rays_meet_the_solid_where_the_picture_shows_it(name: str, prompt: str) -> None:
    """The least distance along a ray is below 0 inside of the silhouette and above 0 outside of it."""
    world = world_named(name)
    subject = world.check_prompt(prompt)
    cameras = orbit_cameras(1, 20.0, 3.3, 40.0, SIZE).over(torch.full((1, 3), 0.5))
    covered = truth_from(subject, cameras, SIZE)[1][0].numpy()
    turn, tilt = float(cameras.azimuth), float(cameras.elevation)
    back = np.array([np.cos(tilt) * np.sin(turn), np.sin(tilt), np.cos(tilt) * np.cos(turn)])
    right = np.cross([0.0, 1.0, 0.0], back) / np.cos(tilt)
    at = (np.arange(SIZE) + 0.5 - SIZE / 2) / (SIZE / 2) * np.tan(float(cameras.fovy) / 2)
    rays = at[None, :, None] * right - at[:, None, None] * np.cross(back, right) - back
    points = 3.3 * back + np.linspace(2.2, 4.5, ALONG)[:, None, None, None] * rays
    least = world.distance(subject, points.reshape(-1, 3)).reshape(ALONG, SIZE, SIZE).min(0)
    assert 0.05 < covered.mean() < 0.6
    assert least[covered == 1].max() < 0.006  # a ray that grazes the solid between two of its points
    assert least[covered == 0].min() > -0.006


@pytest.mark.parametrize("name", list(WORLDS))
def test_the_cloud_of_a_ball_is_a_sphere(name: str) -> None:
    cloud = true_cloud(world_named(name).check_prompt("a red ball"))
    rows = np.column_stack((2 * cloud.points, np.ones(len(cloud.points))))
    (*centre, rest), *_ = np.linalg.lstsq(rows, (cloud.points**2).sum(1), rcond=None)
    away = cloud.points - centre
    radii = np.linalg.norm(away, axis=1)
    assert radii.mean() == pytest.approx(np.sqrt(rest + np.dot(centre, centre)), abs=1e-4)
    assert radii.std() < 1e-4
    assert (cloud.normals * away / radii[:, None]).sum(1).min() > 0.99
