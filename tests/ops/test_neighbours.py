"""Nearest-neighbour distances: exact against the definition, whatever the cloud, and quick."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sctd import ops
from sctd.errors import InputError
from sctd.ops import reference


def clouds() -> dict[str, Tensor]:
    made = torch.Generator().manual_seed(0)
    ball = torch.randn(700, 3, generator=made)
    return {
        "ball": ball,
        "line": ball * torch.tensor([1.0, 0.0, 0.0]),
        "grid": (ball * 2).round(),  # ties, and many points at one place
        "far": ball * 1e-3 + 1000.0,
        "pair": ball[:2],
        "halves": torch.cat((ball[:9].expand(9, 3), -ball[:9])),
        "signed zeros": torch.cat((torch.zeros(5, 3), -torch.zeros(5, 3), ball[:5])),
    }


@pytest.mark.parametrize("name", clouds())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_definition(name: str, dtype: torch.dtype) -> None:
    """The definition in double precision, rounded once."""
    points = clouds()[name].to(dtype)
    for k in {1, min(3, len(points) - 1), min(8, len(points) - 1)}:
        got, exact = ops.knn_mean_distance(points, k), reference.knn_mean_distance(points.double(), k)
        assert got.dtype == dtype
        if dtype == torch.float32:
            assert torch.equal(got, exact.float())
        else:
            # squares added in another order, a square root that halves the error, a mean that adds its own
            torch.testing.assert_close(got, exact, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_known_distances() -> None:
    corner = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert ops.knn_mean_distance(corner)[0].item() == 2.0
    assert ops.knn_mean_distance(torch.ones(5, 3)).tolist() == [0.0] * 5


def test_as_many_points_as_the_paper_starts_from_are_quick() -> None:
    """81,920 points, also at one place: a tenth of the time that all pairs would take on this processor."""
    points = torch.randn(81_920, 3, generator=torch.Generator().manual_seed(0))
    all_pairs = 20**2 * seconds(lambda: reference.knn_mean_distance(points[: 81_920 // 20]))
    for cloud in (points, torch.zeros_like(points)):
        assert seconds(lambda cloud=cloud: ops.knn_mean_distance(cloud)) < all_pairs / 10


def seconds(call: Callable[[], object]) -> float:
    """Of the processor, the least of three."""
    found = []
    for _ in range(3):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return min(found)


def test_bad_points_are_refused() -> None:
    with pytest.raises(InputError, match="got k=3 with N=3"):
        ops.knn_mean_distance(torch.zeros(3, 3))
    with pytest.raises(InputError, match=r"\[N, 3\]; got \[3, 2\]"):
        ops.knn_mean_distance(torch.zeros(3, 2))
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="must be finite"):
            ops.knn_mean_distance(torch.full((9, 3), value))
