"""The saturation of pictures: pixels at the gamut's edge, and the chroma."""

from __future__ import annotations

import pytest
import torch

from sctd.evaluate.saturation import NEAR, saturation


def test_the_edge_and_the_chroma_of_known_pixels() -> None:
    pixels = torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.2, 0.2], [0.4, 0.01, 0.3], [0.9, 0.5, 0.1], [0.0, 0, 0]])
    images = pixels.t().reshape(1, 3, 1, 5)
    where = torch.tensor([True, True, True, True, False]).reshape(1, 1, 5)
    found = saturation(images, where)
    assert found.edge == pytest.approx(2 / 4)
    assert found.chroma == pytest.approx((0 + 0.8 + 0.39 + 0.8) / 4)
    assert saturation(images, ~where) == (1, 0)
    assert saturation(images, torch.zeros_like(where)) == (0, 0)


def test_stronger_colours_have_more_of_both() -> None:
    images = 0.3 + 0.4 * torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones(3, 20, 20, dtype=torch.bool)
    plain, strong = (saturation((0.5 + k * (images - 0.5)).clamp(0, 1), everywhere) for k in (1, 4))
    assert (plain.edge, strong.edge > 0.5) == (0, True)
    assert strong.chroma > 1.5 * plain.chroma
    assert NEAR < 0.3
