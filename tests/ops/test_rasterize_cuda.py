"""What only the CUDA kernels have: a capacity, a deterministic mode, exact lists; run under emulation."""

from __future__ import annotations

import pytest
import torch
from raster_scenes import Scene, make_scene
from torch import Tensor

from sctd.errors import BackendUnavailable, InputError, TooLarge
from sctd.ops import rasterization
from sctd.ops._backend import choose, native_simt
from sctd.ops._raster_cores import CpuLists, CudaCore, CudaLists, core, core_type
from sctd.ops._raster_ops import tile_lists_now
from sctd.render import PairCapacity, Render

SUB_TILE, TILE = 8, 16


def drawn(scene: Scene, **options: object) -> tuple[Tensor, dict[str, object]]:
    single = [t.float() if isinstance(t, Tensor) else t for t in scene]
    renders, _, meta = rasterization(*single, backend="cuda-simt", **options)  # type: ignore[arg-type]
    return renders, meta


def test_capacity_is_enough_or_says_that_it_was_not() -> None:
    scene = make_scene(120, 50, 41, seed=1)
    want, meta = drawn(scene)
    assert meta["pairs_needed"] == meta["n_pairs"]
    for spare in (0, 1, 1000):
        got, meta_here = drawn(scene, capacity=meta["n_pairs"] + spare)
        assert torch.equal(got, want)
        assert meta_here["pairs_needed"] == meta["n_pairs"] <= meta_here["n_pairs"]
    for capacity in (meta["n_pairs"] - 1, 7, 1):
        got, meta_here = drawn(scene, capacity=capacity)
        assert meta_here["pairs_needed"] == meta["n_pairs"] > capacity
        assert got.isfinite().all()


def touched(scene: Scene, edge: int) -> int:
    """(square of ``edge`` pixels, Gaussian) pairs in which a pixel's alpha reaches 1/255, by brute force."""
    _, _, meta = rasterization(*scene, backend="reference")
    columns, rows = torch.arange(scene.width) + 0.5, torch.arange(scene.height) + 0.5
    count = 0
    for camera in range(scene.viewmats.shape[0]):
        for i in range(scene.means.shape[0]):
            if meta["radii"][camera, i, 0] == 0:
                continue
            a, b, c = meta["conics"][camera, i]
            dx, dy = columns - meta["means2d"][camera, i, 0], (rows - meta["means2d"][camera, i, 1])[:, None]
            power = -0.5 * (a * dx * dx + 2 * b * dx * dy + c * dy * dy)
            seen = (meta["opacities"][camera, i] * power.exp() >= 1 / 255).nonzero() // edge
            count += len(torch.unique(seen, dim=0))
    return count


def test_lists_hold_what_brute_force_finds() -> None:
    """No square in which no pixel is drawn: within one part in a thousand, of tiles and of sub-tiles."""
    scene = make_scene(1500, 112, 90, 1, seed=2, size=0.02, spread=0.8, opacity=-2.0)
    native_simt().take_counters()
    _, meta = drawn(scene)
    items = native_simt().take_counters()["forward_items"]
    tiles, sub_tiles = touched(scene, TILE), touched(scene, SUB_TILE)
    assert tiles <= meta["n_pairs"] <= 1.001 * tiles
    assert sub_tiles <= items <= 1.001 * sub_tiles


def test_one_large_gaussian_among_small_ones() -> None:
    """It fills every tile of the picture; the lanes of its warp share its rows."""
    scene = make_scene(40, 150, 130, 1, seed=3, size=0.01)
    scales = scene.scales.clone()
    scales[17] = 3.0
    scene = scene._replace(scales=scales)
    got, _ = drawn(scene)
    want, _, _ = rasterization(*scene, backend="reference")
    torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-5)


def gradients(scene: Scene, seed: int) -> list[Tensor]:
    native_simt().set_seed(seed)
    s = scene.to(torch.float32)
    renders, alphas, _ = rasterization(*s, backend="cuda-simt")
    (renders.sum() + alphas.square().sum()).backward()
    native_simt().set_seed(0)
    return [t.grad for t in s[:6] if t.grad is not None]


def test_order_of_threads_shows_unless_the_deterministic_mode_is_on() -> None:
    scene = make_scene(60, 40, 33, seed=4, size=0.3)
    free = [gradients(scene, seed) for seed in (1, 2, 3)]
    torch.use_deterministic_algorithms(True)
    try:
        fixed = [gradients(scene, seed) for seed in (1, 2, 3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for other in fixed[1:]:
        assert all(torch.equal(a, b) for a, b in zip(fixed[0], other, strict=True))
    for a, b in zip(free[0], fixed[0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())
    same = [all(torch.equal(a, b) for a, b in zip(free[0], other, strict=True)) for other in free[1:]]
    assert not all(same), "atomics in three orders gave the same bits: the seeds do nothing"


def test_what_cuda_cannot_do_is_refused() -> None:
    scene = make_scene(3, 8, 8, 1, channels=5)
    single = [t.float() if isinstance(t, Tensor) else t for t in scene]
    with pytest.raises(InputError, match="at most 4 channels"):
        rasterization(*single, absgrad=True, backend="cuda-simt")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"computes in float32; got torch\.float64"):
        rasterization(*scene, backend="cuda-simt")
    with pytest.raises(BackendUnavailable, match="needs tensors on the CUDA"):
        rasterization(*single, backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="no kernel for backend"):
        choose("cuda", torch.zeros(1))


def picture_wide(count: int) -> list[Tensor]:
    """Footprints of one camera that each cover all of a picture 2^19 pixels wide and 16 high."""
    middle = torch.tensor([2.0**18, 8.0]).expand(1, count, 2).contiguous()
    conics = torch.tensor([1e-13, 0.0, 1e-6]).expand(1, count, 3).contiguous()
    depths = torch.linspace(1, 2, count)[None]
    return [middle, conics, torch.full((1, count), 0.5), depths, torch.full((1, count, 2), 2**18).int()]


WIDE = (2**19, 16)
ACROSS = 2**15
"""Tiles of such a picture."""


@pytest.mark.parametrize("backend", ["cpu", "cuda-simt"])
def test_two_billion_pairs_are_too_many(backend: str) -> None:
    few = tile_lists_now(*picture_wide(3), *WIDE, 0, backend)
    starts = CpuLists(*few).slot_start if backend == "cpu" else CudaLists(*few).rank_start
    assert starts.tolist() == [0, ACROSS, 2 * ACROSS, 3 * ACROSS]
    assert core_type(backend).room(few) == 3 * ACROSS
    with pytest.raises(TooLarge, match=r"touch 2\^31 - 1 tiles .* or more.* render fewer cameras"):
        tile_lists_now(*picture_wide(2**31 // ACROSS), *WIDE, 0, backend)


def test_a_picture_is_no_wider_than_the_cpu_can_count() -> None:
    few = picture_wide(3)
    with pytest.raises(TooLarge, match="1048560 pixels wide and high; got 1048561 x 16"):
        tile_lists_now(*few, 1048561, 16, 0, "cpu")
    widest = CpuLists(*tile_lists_now(*few, 1048560, 16, 0, "cpu"))
    assert widest.slot_start.tolist() == [0, 65535, 131070, 196605]


def test_a_small_capacity_stands_two_billion_pairs() -> None:
    """The count stops at the largest number, and nothing is written beyond the capacity."""
    count = 2**31 // ACROSS + 100
    lists = tile_lists_now(*picture_wide(count), *WIDE, 1000, "cuda-simt")
    found, wanted = CudaLists(*lists), ACROSS * torch.arange(count + 1)
    assert torch.equal(found.rank_start.long(), wanted.clamp(max=2**31 - 1))
    assert torch.equal(found.order, torch.arange(count).int())
    assert torch.equal(found.pair_slot, torch.arange(1000).int())
    assert not found.pair_index.any()
    assert torch.equal(found.tile_start.long(), torch.arange(ACROSS + 1).clamp(max=1000))
    rendered = Render(*[torch.zeros(0)] * 5, {"pairs_needed": CudaCore.needed(lists)})
    capacity = PairCapacity()
    with pytest.raises(TooLarge, match="tile lists hold fewer"):
        capacity.overflowed(capacity.needed(rendered))


@pytest.mark.parametrize(("deterministic", "advice"), [(False, "fewer channels"), (True, "27000000 pairs")])
def test_sums_beyond_4_gib_are_refused_with_what_helps(deterministic: bool, advice: str) -> None:
    count = 10 if deterministic else 2 * 10**8
    sizes = (1, count, 3, 27_000_000, 64, 64, False, True, False)
    with pytest.raises(TooLarge, match=rf"needs \d\.\d GiB of sums, at most 4.*{advice}"):
        core("cuda-simt").blend_backward(sizes, deterministic, [torch.zeros(1)], [])


def test_more_cameras_than_a_grid_is_high_are_refused() -> None:
    scene = make_scene(1, 8, 8)
    single = [t.float() if isinstance(t, Tensor) else t for t in scene]
    single[5], single[6] = (t.expand(65536, -1, -1) for t in (single[5][:1], single[6][:1]))
    with pytest.raises(TooLarge, match="at most 65535 cameras on CUDA; got 65536"):
        rasterization(*single, backend="cuda-simt")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["cpu", "cuda-simt"])
def test_more_gaussians_than_32_bits_number_are_refused(backend: str) -> None:
    sizes = (8, 2**28, 1, 64, 64, 0, False, False, 0.01, 1e10, 0.0, 0.3)
    with pytest.raises(TooLarge, match=r"at most 2\^31 - 2 Gaussians.* got 8 x 268435456"):
        core(backend).project_forward(sizes, [torch.zeros(1)], [])
