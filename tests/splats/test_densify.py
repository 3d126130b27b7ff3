"""Adding, moving and removing Gaussians: who goes where, what the picture and Adam's rows notice."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from sctd.cameras import orbit_cameras
from sctd.config import load_config, preset_names
from sctd.config.asset import DensifySettings, OptimSettings
from sctd.gaussians import Gaussians, from_points, rotations
from sctd.render import render
from sctd.splats.densify import Strategy
from sctd.splats.optim import GaussianAdam
from sctd.splats.original import SPLIT_SHRINK, Original, ScreenStatistics, grow_and_prune
from sctd.splats.relocate import _share, relocate
from sctd.splats.strategies import STRATEGIES, strategy_for


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(opacities: list[float], scale: float = 0.1) -> Gaussians:
    """Gaussians of given opacities at random places, each with a colour of its own."""
    n, g = len(opacities), generator(3)
    points = from_points(
        torch.rand(n, 3, generator=g) - 0.5,
        torch.rand(n, 3, generator=g),
        opacity=0.5,
        scale_factor=1.0,
        sh_degree=0,
    )
    points.scales = torch.full((n, 3), math.log(scale)) + 0.1 * torch.rand(n, 3, generator=g)
    points.quats = torch.randn(n, 4, generator=g)
    points.opacities = torch.logit(torch.tensor(opacities))
    return points


def watched(n: int, gradient: dict[int, float], radius: dict[int, float] | None = None) -> ScreenStatistics:
    statistics = ScreenStatistics(n)
    statistics.count += 2
    for row, value in gradient.items():
        statistics.gradient[row] = 2 * value
    for row, value in (radius or {}).items():
        statistics.radius[row] = value
    return statistics


def published_share(opacity: float, copies: int) -> tuple[float, float]:
    """The relocation formula of Kheradmand et al. 2024 term by term."""
    new = 1 - (1 - opacity) ** (1 / copies)
    denominator = sum(
        math.comb(i - 1, k) * (-1) ** k * new ** (k + 1) / math.sqrt(k + 1)
        for i in range(1, copies + 1)
        for k in range(i)
    )
    return new, opacity / denominator


@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("copies", [1, 2, 3, 7, 15])
def test_share_is_the_published_formula(opacity: float, copies: int) -> None:
    new, factor = _share(torch.tensor([opacity], dtype=torch.float64), torch.tensor([copies]))
    expected = published_share(opacity, copies)
    assert (float(new), float(factor)) == (pytest.approx(expected[0]), pytest.approx(expected[1], rel=1e-6))


def test_share_is_stable_for_many_copies() -> None:
    new, factor = _share(torch.tensor([0.99], dtype=torch.float64), torch.tensor([51]))
    assert 0 < float(new) < 0.1
    assert 0 < float(factor) < 1


def test_relocation_fills_the_dead_rows_and_no_others() -> None:
    g = cloud([0.9, 0.001, 0.5, 0.002, 0.7])
    change = relocate(g, DensifySettings(spread=0.0), generator())
    assert len(change.gaussians) == 5
    live = {0, 2, 4}
    assert set(change.source.tolist()) <= live
    assert change.source[[0, 2, 4]].tolist() == [0, 2, 4]
    shared = set(change.source[[1, 3]].tolist())
    assert change.fresh.tolist() == [row in (1, 3) or row in shared for row in range(5)]
    for row in (1, 3):
        source = int(change.source[row])
        assert torch.equal(change.gaussians.means[row], g.means[source])
        assert torch.equal(change.gaussians.sh0[row], g.sh0[source])
        assert torch.equal(change.gaussians.opacities[row], change.gaussians.opacities[source])
    untouched = [row for row in (0, 2, 4) if row not in shared]
    assert torch.equal(change.gaussians.opacities[untouched], g.opacities[untouched])
    assert bool((torch.sigmoid(change.gaussians.opacities) >= 0.005).all())


def test_the_dead_go_where_opacity_is() -> None:
    change = relocate(cloud([0.8, 0.2] + [0.001] * 1000), DensifySettings(), generator())
    share = float((change.source[2:] == 0).float().mean())
    assert share == pytest.approx(0.8, abs=0.04)  # 3 sigma of 1000 draws


def test_relocation_hardly_changes_the_picture() -> None:
    g = cloud([0.6] * 20 + [0.001] * 10, scale=0.15)
    change = relocate(g, DensifySettings(spread=0.0), generator(1))
    naive = Gaussians(**{name: p[change.source] for name, p in g.parameters().items()})
    cameras, white = orbit_cameras(2, 20.0, 3.0, 40.0, 32), torch.ones(2, 3)
    before, after, copied = (render(x, cameras, white).rgb for x in (g, change.gaussians, naive))
    assert (after - before).abs().mean() < 0.25 * (copied - before).abs().mean()
    assert (after - before).abs().mean() < 0.01


def test_moved_gaussians_part_from_their_source() -> None:
    change = relocate(cloud([0.9, 0.001, 0.001]), DensifySettings(spread=0.5), generator())
    distances = torch.cdist(change.gaussians.means, change.gaussians.means) + torch.eye(3)
    assert distances.min() > 1e-3
    assert float((change.gaussians.means[1:] - change.gaussians.means[:1]).norm(dim=1).max()) < 0.3


def test_growth_stops_at_the_cap() -> None:
    settings = DensifySettings(growth=0.5, max_count=12)
    first = relocate(cloud([0.5] * 10), settings, generator())
    assert len(first.gaussians) == 12
    assert len(relocate(first.gaussians, settings, generator()).gaussians) == 12


def test_nothing_moves_when_all_are_dead_or_all_alive() -> None:
    for opacities in ([0.001] * 4, [0.5] * 4):
        g = cloud(opacities)
        change = relocate(g, DensifySettings(), generator())
        assert torch.equal(change.gaussians.means, g.means)
        assert not change.fresh.any()


def test_original_clones_small_splits_large_and_prunes_faint() -> None:
    g = cloud([0.5, 0.5, 0.5, 0.001, 0.5])
    g.scales[0] = math.log(0.001)  # small: cloned
    g.scales[1] = math.log(0.05)  # large: split
    settings = DensifySettings(strategy="original", grad_threshold=1e-3, split_fraction=0.01)
    change = grow_and_prune(g, watched(5, {0: 0.002, 1: 0.002, 3: 0.5}), settings, 100, generator())

    # survivors 0, 2, 4 (1 is split, 3 is dead), then the clone of 0, then the halves of 1
    assert change.source.tolist() == [0, 2, 4, 0, 1, 1]
    assert change.fresh.tolist() == [False, False, False, True, True, True]
    new = change.gaussians
    assert torch.equal(new.means[3], g.means[0])
    assert torch.equal(new.means[[1, 2]], g.means[[2, 4]])
    torch.testing.assert_close(torch.exp(new.scales[4:]), torch.full((2, 3), 0.05 / SPLIT_SHRINK))
    assert 0 < float((new.means[4:] - g.means[1]).norm(dim=1).max()) < 5 * 0.05
    assert not torch.equal(new.means[4], new.means[5])


def test_original_prunes_the_oversized_only_after_a_while() -> None:
    g = cloud([0.5] * 4, scale=0.05)
    g.scales[0] = math.log(0.5)
    statistics = watched(4, {}, radius={1: 25.0})
    settings = DensifySettings(strategy="original", prune_big_after=300)
    assert grow_and_prune(g, statistics, settings, 300, generator()).source.tolist() == [0, 1, 2, 3]
    assert grow_and_prune(g, statistics, settings, 301, generator()).source.tolist() == [1, 2, 3]
    on_screen = settings.model_copy(update={"prune_screen_px": 20.0})
    assert grow_and_prune(g, statistics, on_screen, 301, generator()).source.tolist() == [2, 3]


def test_original_grows_before_it_prunes() -> None:
    """What asks to be split is split first, and its halves are judged by their own size."""
    g = cloud([0.5] * 3, scale=0.05)
    g.scales[0] = math.log(0.15)  # too large, its halves are not: 0.15 / 1.6 < 0.1
    settings = DensifySettings(strategy="original", grad_threshold=1e-3, prune_screen_px=20.0)
    statistics = watched(3, {0: 0.01}, radius={0: 99.0})
    assert grow_and_prune(g, statistics, settings, 301, generator()).source.tolist() == [1, 2, 0, 0]
    assert grow_and_prune(g, watched(3, {}), settings, 301, generator()).source.tolist() == [1, 2]


def test_original_keeps_the_cap_and_prefers_the_strongest() -> None:
    g = cloud([0.5] * 6, scale=0.001)
    settings = DensifySettings(strategy="original", grad_threshold=1e-3, max_count=8)
    statistics = watched(6, {0: 0.01, 1: 0.04, 2: 0.02, 3: 0.03})
    change = grow_and_prune(g, statistics, settings, 100, generator())
    assert sorted(change.source.tolist()[6:]) == [1, 3]
    full = DensifySettings(strategy="original", grad_threshold=1e-3, max_count=3)
    assert (
        len(grow_and_prune(g, statistics, full, 100, generator()).source) == 6
    )  # a cap adds none, removes none


def test_a_scene_is_never_emptied() -> None:
    g = cloud([0.001, 0.003, 0.002])
    change = grow_and_prune(g, watched(3, {}), DensifySettings(strategy="original"), 100, generator())
    assert change.source.tolist() == [1]


def test_rotations_are_those_of_the_rasterizer() -> None:
    """A quarter turn about z takes x to y."""
    half = math.sqrt(0.5)
    R = rotations(torch.tensor([[2 * half, 0.0, 0.0, 2 * half]]))[0]
    torch.testing.assert_close(R @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_statistics_count_every_camera() -> None:
    g = cloud([0.8] * 6).requires_grad_()
    cameras = orbit_cameras(3, 10.0, 3.0, 40.0, 24)
    rendered = render(g, cameras, torch.zeros(3, 3))
    (gradient,) = torch.autograd.grad(rendered.rgb.square().mean(), rendered.meta["means2d"])
    statistics = ScreenStatistics(6)
    statistics.add(rendered, gradient)
    assert gradient.abs().amax(dim=(1, 2)).min() > 0, "every camera must see something"
    torch.testing.assert_close(statistics.gradient, (gradient * 12).norm(dim=-1).sum(0))
    assert statistics.count.tolist() == [3] * 6
    assert torch.equal(statistics.radius, rendered.meta["radii"].amax(-1).amax(0).float())
    torch.testing.assert_close(statistics.mean_gradient(), statistics.gradient / 3)


def test_the_settings_name_the_strategies_of_the_table() -> None:
    named = get_args(DensifySettings.model_fields["strategy"].annotation)
    assert list(named) == list(STRATEGIES)
    assert {name: DensifySettings(strategy=name, max_count=9).most(5) for name in named} == {
        "relocate": 5,
        "original": 9,
        "none": 5,
    }
    assert DensifySettings(strategy="relocate", growth=0.1, max_count=9).most(5) == 9


def make(settings: DensifySettings, iterations: int = 100) -> Strategy:
    return strategy_for(
        settings, GaussianAdam(cloud([0.5, 0.5, 0.001]), OptimSettings(), iterations), iterations
    )


@pytest.mark.parametrize("strategy", ["relocate", "original"])
def test_changes_come_on_time(strategy: str) -> None:
    settings = DensifySettings(strategy=strategy, every=10, start=20, stop=60, rest=0)  # type: ignore[arg-type]
    strategy = make(settings)
    changed = [i for i in range(100) if "added" in strategy.after_step(i, generator())]
    assert changed == [19, 29, 39, 49, 59]
    resting = make(settings.model_copy(update={"stop": 1000, "rest": 25}))
    assert max(i for i in range(100) if "added" in resting.after_step(i, generator())) == 69
    assert make(DensifySettings(strategy="none")).after_step(49, generator()) == {}


def test_opacities_are_reset_on_time_and_adam_forgets() -> None:
    strategy = make(DensifySettings(strategy="original", every=1000, reset_every=30, rest=0, reset_rest=60))
    strategy.optimiser.exp_avg["opacities"] += 1.0
    assert strategy.after_step(28, generator()) == {}
    assert strategy.after_step(29, generator()) == {"opacity_reset": 1.0}
    opacities = torch.sigmoid(strategy.optimiser.gaussians.opacities.detach())
    torch.testing.assert_close(opacities, torch.tensor([0.01, 0.01, 0.001]))
    assert not strategy.optimiser.exp_avg["opacities"].any()


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("iterations", [100, 300, 900, 1500, 3000, 5000, 10_000])
def test_no_reset_near_the_end_of_a_run(preset: str, iterations: int) -> None:
    """An asset whose opacities were lowered to 0.01 on the last iterations cannot be seen."""
    settings = load_config(preset, prompt="x", iterations=iterations).paced()
    strategy = strategy_for(
        settings.densify, GaussianAdam(cloud([0.5]), OptimSettings(), iterations), iterations
    )
    resets = [i for i in range(iterations) if "opacity_reset" in strategy.after_step(i, generator())]
    assert all(i <= iterations - 1 - 500 for i in resets), resets[-3:]
    if preset != "embedded" and iterations >= 1500:
        assert resets, "this preset lowers opacities now and then"


def test_the_released_run_changes_and_resets_when_it_did() -> None:
    """Source: SegmentDreamer's train.py, `iteration < densify_until_iter`, counted from 1."""
    settings = load_config("sd21", prompt="x").densify
    strategy = strategy_for(settings, GaussianAdam(cloud([0.5]), OptimSettings(), 5000), 5000)
    reports = {i + 1: strategy.after_step(i, generator()) for i in range(5000)}
    assert [i for i, report in reports.items() if "added" in report] == list(range(200, 3000, 100))
    assert [i for i, report in reports.items() if "opacity_reset" in report] == list(range(300, 3000, 300))


def test_adam_rows_stay_with_their_gaussians_through_a_change() -> None:
    strategy = make(DensifySettings(strategy="original", every=10, start=10, rest=0, grad_threshold=1e-3))
    adam = strategy.optimiser
    adam.exp_avg["means"] += torch.tensor([1.0, 2.0, 3.0])[:, None]
    before = adam.gaussians.means.detach().clone()
    assert isinstance(strategy, Original)
    strategy.statistics = watched(3, {0: 0.1})
    strategy.after_step(9, generator())
    assert len(adam.gaussians) == 2 - 1 + 2  # one split in two, one survivor, one dead
    assert torch.equal(adam.gaussians.means[0], before[1])
    assert adam.exp_avg["means"][0].tolist() == [2.0, 2.0, 2.0]
    assert not adam.exp_avg["means"][1:].any()
    assert adam.gaussians.means.requires_grad
    assert len(strategy.statistics.count) == 3
    assert not strategy.statistics.count.any()


def test_noise_moves_only_the_faint() -> None:
    settings = DensifySettings(position_noise=50.0, every=1000)
    strategy = make(settings)
    before = strategy.optimiser.gaussians.means.detach().clone()
    strategy.after_step(0, generator())
    moved = (strategy.optimiser.gaussians.means.detach() - before).norm(dim=1)
    assert float(moved[2]) > 1e-4
    assert float(moved[:2].max()) < 1e-12
