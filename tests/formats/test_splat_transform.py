"""PlayCanvas's splat-transform, a program of its own, finds in our files what we put there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_assets import lopsided

from sctd.formats.axes import half_turn
from sctd.formats.write_ply import property_names, write_ply
from sctd.gaussians import Gaussians


def table(path: Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a .csv of splat-transform: the properties of a .ply."""
    names = path.read_text().partition("\n")[0].split(",")
    return dict(zip(names, np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2).T, strict=True))


def as_properties(gaussians: Gaussians) -> dict[str, NDArray[np.float64]]:
    """As a .ply has them, y down."""
    turned = half_turn(gaussians)
    rest = turned.shN.permute(0, 2, 1).reshape(len(turned), -1)
    parts = [turned.means, 0 * turned.means, turned.sh0[:, 0], rest, turned.opacities[:, None]]
    columns = np.hstack([part.double().numpy() for part in [*parts, turned.scales, turned.quats]])
    return dict(zip(property_names(rest.shape[1]), columns.T, strict=True))


@pytest.mark.parametrize("degree", [0, 3])
def test_a_ply_is_read_as_it_is_meant(tmp_path: Path, node: Callable[..., str], degree: int) -> None:
    asset = lopsided(degree)
    write_ply(tmp_path / "a.ply", asset)
    node("splat-transform", "-g", "cpu", tmp_path / "a.ply", tmp_path / "a.csv")
    found = table(tmp_path / "a.csv")
    for name, column in as_properties(asset).items():
        np.testing.assert_allclose(found[name], column, atol=1e-7, err_msg=name)
