"""The workload, its pairs counted against brute force, and the pixels where rounding decides."""

from __future__ import annotations

import pytest
import torch

from sctd import ops
from sctd.bench import pairs
from sctd.bench.pairs import count_pairs, tile_lists
from sctd.bench.workload import Cell, in_double, make_workload, parse_cells
from sctd.errors import InputError
from sctd.ops.reference_raster import ALPHA_MIN, TRANSMITTANCE_MIN


def test_cells() -> None:
    assert parse_cells("1k@128, 1500@64") == [Cell(1000, 128), Cell(1500, 64)]
    assert [cell.name for cell in parse_cells("2000@8,17@9")] == ["2k@8", "17@9"]
    for bad in ("", "1k", "0@8", "1k@5000", "1k@8,1000@8", "1k@8,"):
        with pytest.raises(InputError, match="--cells"):
            parse_cells(bad)


def test_pairs_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 large Gaussians on 37 pixels: pixels that stop early, tiles cut by the picture's edge."""
    scene = make_workload(300, 37, cameras=2)
    scene["opacities"] = scene["opacities"].sqrt()
    monkeypatch.setattr(pairs, "AT_ONCE", 16)  # the Gaussians of a tile come in several parts
    meta = ops.rasterization(**in_double(scene), backend="cpu")[2]
    pixels = torch.arange(37) + 0.5
    expected = stopped = 0
    for camera in range(2):
        order = meta["depths"][camera].argsort()
        mean, conic, opacity = (meta[n][camera][order] for n in ("means2d", "conics", "opacities"))
        dx = pixels[None, :, None] - mean[:, 0]
        dy = pixels[:, None, None] - mean[:, 1]
        exponent = 0.5 * (conic[:, 0] * dx**2 + conic[:, 2] * dy**2) + conic[:, 1] * dx * dy
        alpha = (opacity * torch.exp(-exponent)).clamp_max(0.999)
        counts = alpha >= ALPHA_MIN
        left = torch.where(counts, 1 - alpha, 1.0).cumprod(-1)
        expected += int((counts & (left >= TRANSMITTANCE_MIN)).sum())
        stopped += int((left[..., -1] < TRANSMITTANCE_MIN).sum())
    assert stopped > 50
    assert count_pairs(scene).contributing == expected


def test_tile_lists_are_by_depth() -> None:
    means = torch.tensor([[8.0, 8.0], [20.0, 8.0], [8.0, 8.0], [100.0, 8.0]])
    radii = torch.tensor([[2, 2], [8, 3], [20, 2], [3, 3]])
    lists = tile_lists(means, radii, torch.tensor([3.0, 2.0, 1.0, 0.5]), 32, 16)
    assert lists.starts.tolist() == [0, 3, 5]
    assert lists.gaussians.tolist() == [2, 1, 0, 2, 1]
    invisible = tile_lists(means, torch.zeros_like(radii), torch.ones(4), 32, 16)
    assert (invisible.starts.tolist(), len(invisible.gaussians)) == ([0, 0, 0], 0)


def test_pixels_where_rounding_decides_are_found() -> None:
    scene = make_workload(1, 32, cameras=1)
    scene["means"] = torch.zeros(1, 3)
    scene["scales"] = torch.full((1, 3), 0.2)
    scene["opacities"] = torch.tensor([0.9])
    alpha = ops.rasterization(**in_double(scene), backend="cpu")[1][0, :, :, 0]
    row, column = divmod(int(alpha.argmax()), 32)
    assert not count_pairs(scene).undecided.any()
    scene["opacities"] = (0.9 * ALPHA_MIN / alpha[row, column]).float().reshape(1)  # the peak is at 1/255 now
    assert count_pairs(scene).undecided[0, row, column]

    twins = {
        n: v.repeat(2, *[1] * (v.dim() - 1)) for n, v in scene.items() if n in ("means", "quats", "scales")
    }
    twins |= {"opacities": torch.tensor([0.5, 0.5]), "colors": torch.rand(2, 3)}
    together = count_pairs({**scene, **twins}).undecided  # one depth: either may come first
    assert together[0, row, column]
    twins["means"] = torch.tensor([[0.0, 0.0, 0.0], [0.01, 0.01, 0.01]])
    assert int(count_pairs({**scene, **twins}).undecided.sum()) < int(together.sum())
