"""Views and worlds: what a direction is called, which world weights know, what a check of a prompt loads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from fresh import loaded_by

from sctd.cameras import orbit_cameras
from sctd.embedded.captions import view_of
from sctd.embedded.pictures import look_at
from sctd.embedded.weights import read_card, write_card
from sctd.embedded.world import WORLDS, world_of
from sctd.errors import InputError


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [
        (0.0, 0.0, "front"),
        (0.78, 0.0, "front"),
        (0.80, 0.0, "left"),
        (-1.5, 0.0, "right"),
        (3.0, 0.0, "back"),
        (-3.2, 0.2, "back"),
        (0.0, 1.1, "overhead"),
    ],
)
def test_view_of_a_direction(azimuth: float, elevation: float, view: str) -> None:
    assert view_of(azimuth, elevation) == view


def test_a_prompt_is_checked_without_torch() -> None:
    code = "from sctd.embedded.world import WORLDS, world_of; world_of().check_prompt('a red ball')"
    assert not loaded_by(code, "torch")


def test_weights_name_their_world(tmp_path: Path) -> None:
    assert world_of().name == read_card()["world"]
    with pytest.raises(InputError, match="does not say which world its weights know"):
        world_of(tmp_path)
    write_card({"world": "flat"}, tmp_path)
    with pytest.raises(InputError, match=f"no world is named 'flat'; there are {', '.join(WORLDS)}"):
        world_of(tmp_path)


def test_the_camera_agrees_with_the_trainers() -> None:
    cameras = orbit_cameras(8, 15.0, 3.3, 40.0, 64)
    for i in range(8):
        viewmat, K = look_at(2 * math.pi * i / 8, math.radians(15), 3.3, 64)
        np.testing.assert_allclose(cameras.viewmats[i].numpy(), viewmat, atol=1e-6)
        np.testing.assert_allclose(cameras.Ks[i].numpy(), K, atol=1e-4)
