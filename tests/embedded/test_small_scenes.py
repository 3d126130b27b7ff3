"""The traced scenes: the tracer against closed forms, every kind in its ball, fronts that differ."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sctd.embedded.pictures import RADIUS, look_at
from sctd.embedded.truth import truth_views
from sctd.embedded.worlds.rich.sculpture import Sculpture
from sctd.embedded.worlds.small.pictures import KIND_NAMES, PATTERN_NAMES, compose, random_views, trace_views
from sctd.embedded.worlds.small.scenes import BODY, CHANNELS, Scene, scene_of
from sctd.embedded.worlds.small.words import SMALL, Subject

COVERAGE, BODY_LIGHT = CHANNELS.index("coverage"), CHANNELS.index("body")
ORIGIN = (0.0, 0.0, 0.0)


def _scene(add: Callable[[Sculpture], None]) -> Scene:
    sculpture = Sculpture()
    add(sculpture)
    return Scene.of(sculpture)


def _cover(scene: Scene, size: int = 96) -> np.ndarray:
    viewmat, K = look_at(0.3, 0.2, 3.0, size)
    return scene.trace(viewmat[None], K[None], size)[0, COVERAGE]


@pytest.mark.parametrize("radius", [0.2, 0.7])
def test_a_ball_covers_its_solid_angle(radius: float) -> None:
    size = 96
    focal = size / 2 / math.tan(math.radians(20))
    # The outline of a ball is the cone with sin(angle) = radius / distance.
    expected = math.pi * (focal * math.tan(math.asin(radius / 3.0))) ** 2
    assert _cover(_scene(lambda s: s.ball(ORIGIN, radius, BODY)), size).sum() == pytest.approx(
        expected, rel=0.03
    )


def test_every_shape_has_the_size_it_says() -> None:
    """Seen from afar on the z axis, an outline's height and width are the shape's own."""
    viewmat, K = look_at(0.0, 0.0, 50.0, 256, fov_deg=2.4)
    pixel = 50.0 / K[0, 0]
    shapes: dict[str, tuple[Callable[[Sculpture], None], float, float]] = {
        "ellipsoid": (lambda s: s.ellipsoid(ORIGIN, (0.5, 0.3, 0.4), BODY), 1.0, 0.6),
        "box": (lambda s: s.box(ORIGIN, (0.4, 0.2, 0.3), BODY), 0.8, 0.4),
        "frustum": (lambda s: s.frustum(ORIGIN, 0.5, 0.2, 0.3, BODY), 1.0, 0.6),
        "torus": (lambda s: s.torus(ORIGIN, 0.5, 0.1, BODY), 1.2, 0.2),
        "capsule": (lambda s: s.capsule(ORIGIN, 0.3, 0.2, BODY), 0.4, 1.0),
        "prism": (lambda s: s.prism(ORIGIN, (0.5, 0.6, 0.2), BODY), 1.0, 0.6),
    }
    for name, (add, width, height) in shapes.items():
        solid = _scene(add).trace(viewmat[None], K[None], 256)[0, COVERAGE] > 0.5
        assert solid.any(0).sum() * pixel == pytest.approx(width, abs=0.03), name
        assert solid.any(1).sum() * pixel == pytest.approx(height, abs=0.03), name


@pytest.mark.parametrize("kind", list(SMALL.kinds))
def test_every_kind_is_whole_and_in_the_picture(kind: str) -> None:
    angles = [0.0, 1.0, 2.2, 3.1, -1.3, 0.5]
    maps = trace_views(kind, angles, [0.0, 0.5, -0.1, 0.3, 0.8, 1.4], [RADIUS[0]] * 6)
    coverage = maps[:, COVERAGE]
    border = torch.cat((coverage[:, 0], coverage[:, -1], coverage[:, :, 0], coverage[:, :, -1]), dim=1)
    assert int(border.max()) == 0, "the object leaves the picture"
    share = (coverage > 127).float().mean(dim=(1, 2))
    assert float(share.min()) > 0.04
    assert float(share.max()) < 0.6
    body = maps[:, BODY_LIGHT].float().sum(dim=(1, 2)) / maps[:, COVERAGE].float().sum(dim=(1, 2))
    assert float(body.min()) > 0.12, "the prompt's colour must be seen from everywhere"


@pytest.mark.parametrize("kind", list(SMALL.kinds_with_front))
def test_a_front_differs_from_the_back_and_the_side(kind: str) -> None:
    images, _ = truth_views(Subject(kind, "red"), 24)
    distance = (images[0] - images).square().mean(dim=(1, 2, 3))
    assert float(distance[12]) > 1e-3
    assert float(distance[6]) > 4e-3


def test_maps_compose_to_the_colours_asked_for() -> None:
    views = random_views(3, 1, threads=1)
    n = len(views)
    plain = torch.zeros(n, dtype=torch.long)
    grey = torch.full((n, 3), 0.5)
    red = compose(views.maps, torch.tensor([[1.0, 0, 0]]).expand(n, 3), plain, grey)
    blue = compose(views.maps, torch.tensor([[0, 0, 1.0]]).expand(n, 3), plain, grey)
    torch.testing.assert_close(red[:, 0] - red[:, 2], blue[:, 2] - blue[:, 0] + 2 * (red[:, 0] - blue[:, 2]))
    outside = views.maps[:, COVERAGE] == 0
    assert torch.all(red.permute(0, 2, 3, 1)[outside] == 0.5)
    striped = compose(
        views.maps, torch.tensor([[1.0, 0, 0]]).expand(n, 3), plain + PATTERN_NAMES.index("striped"), grey
    )
    assert float((striped - red).abs().amax(dim=(1, 2, 3)).min()) > 0.3, "stripes on every kind"


def test_views_repeat_with_the_seed_and_any_number_of_threads() -> None:
    one, two, other = random_views(5, 2, threads=1), random_views(5, 2, threads=2), random_views(6, 2)
    assert torch.equal(one.maps, two.maps)
    assert torch.equal(one.poses.azimuth, two.poses.azimuth)
    assert not torch.equal(one.maps, other.maps)
    assert one.kind.tolist() == [k for k in range(len(KIND_NAMES)) for _ in range(2)]


def test_names_of_kinds_have_shapes() -> None:
    for kind in SMALL.kinds:
        assert len(scene_of(kind).shapes) >= 1
