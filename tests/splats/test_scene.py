"""Gaussians, rendering, backgrounds and regularisers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small import small_prior
from torch.utils._python_dispatch import TorchDispatchMode

from sctd.cameras import orbit_cameras
from sctd.config.asset import BackgroundSettings, GaussianSettings, OptimSettings, RegulariserSettings
from sctd.errors import InputError
from sctd.gaussians import SH_C0, Gaussians, from_points
from sctd.initial.start import initialise
from sctd.ops import total_variation
from sctd.render import Render, render, render_images
from sctd.representation import Term
from sctd.splats.augment import sample_background, sample_scale_noise
from sctd.splats.optim import GaussianAdam
from sctd.splats.regularisers import keep_in_bounds, limit_brightness, losses, reconstruction


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_ball(
    color: tuple[float, float, float], scale: float = 0.3, opacity: float = 0.999, sh_degree: int = 0
) -> Gaussians:
    g = from_points(
        torch.zeros(1, 3), torch.tensor([color]), opacity=opacity, scale_factor=1, sh_degree=sh_degree
    )
    g.scales = torch.full((1, 3), math.log(scale))
    return g


def test_ball_sphere_and_box() -> None:
    points = {
        shape: initialise(GaussianSettings(init=shape, count=4000, init_radius=0.5), generator()).means  # type: ignore[arg-type]
        for shape in ("ball", "sphere", "box")
    }
    radius = points["ball"].norm(dim=1)
    assert radius.max() <= 0.5
    # uniform in the volume: an eighth of the points within half the radius
    assert float((radius < 0.25).float().mean()) == pytest.approx(1 / 8, abs=0.02)
    torch.testing.assert_close(points["sphere"].norm(dim=1), torch.full((4000,), 0.5))
    assert points["box"].abs().max() <= 0.5
    assert float(points["box"].abs().max(dim=0).values.min()) > 0.49


def test_first_values() -> None:
    settings = GaussianSettings(count=100, init_color=(0.2, 0.4, 0.6), init_opacity=0.1, sh_degree=2)
    g = initialise(settings, generator())
    means, quats, scales, opacities, colors, _ = g.activated()
    torch.testing.assert_close(opacities, torch.full((100,), 0.1))
    torch.testing.assert_close(0.5 + SH_C0 * colors[:, 0], torch.tensor([0.2, 0.4, 0.6]).expand(100, 3))
    assert colors.shape == (100, 9, 3)
    assert not colors[:, 1:].any()
    assert quats.tolist() == [[1, 0, 0, 0]] * 100
    nearest = torch.cdist(means.double(), means.double()).sort(dim=1).values[:, 1:4].mean(1)
    torch.testing.assert_close(scales[:, 0].double(), nearest, rtol=1e-4, atol=1e-5)
    assert g.sh_degree == 2


def test_a_lone_gaussian_and_twins_have_a_size() -> None:
    for points in (torch.zeros(1, 3), torch.zeros(2, 3), torch.zeros(5, 3)):
        g = from_points(points, torch.full_like(points, 0.5), opacity=0.1, scale_factor=1.0, sh_degree=0)
        assert torch.isfinite(g.scales).all()


def test_shapes_are_checked() -> None:
    state = one_ball((1, 0, 0)).state_dict()
    with pytest.raises(InputError, match=r"quats must have shape \(1, 4\), got \(1, 3\)"):
        Gaussians.from_state_dict(state | {"quats": torch.zeros(1, 3)})
    with pytest.raises(InputError, match="0, 3, 8 or 15"):
        Gaussians.from_state_dict(state | {"shN": torch.zeros(1, 4, 3)})


def test_faint_gaussians_are_left_out_unless_all_are_faint() -> None:
    opacities = torch.tensor([0.04, 0.9, 0.05, 0.06, 0.01])
    made = from_points(torch.rand(5, 3), torch.rand(5, 3), opacity=0.1, scale_factor=1.0, sh_degree=0)
    made.opacities = opacities.logit()
    kept = made.opaque_from(0.055)
    assert torch.equal(kept.means, made.means[[1, 3]])
    assert torch.equal(kept.opacities.sigmoid(), made.opacities[[1, 3]].sigmoid())
    assert len(made.opaque_from(0.0)) == len(made.opaque_from(0.95)) == 5


def test_a_red_ball_is_seen_from_everywhere() -> None:
    cameras = orbit_cameras(4, 20.0, 3.0, 40.0, 33)
    seen = render(
        one_ball((1.0, 0.0, 0.0)), cameras, torch.tensor([0.0, 0.0, 1.0]).expand(4, 3), disparity=True
    )
    assert seen.rgb.shape == (4, 3, 33, 33)
    torch.testing.assert_close(
        seen.rgb[:, :, 16, 16], torch.tensor([[0.999, 0, 0.001]]).expand(4, 3), atol=2e-3, rtol=0
    )
    torch.testing.assert_close(
        seen.rgb[:, :, 0, 0], torch.tensor([[0.0, 0, 1]]).expand(4, 3), atol=1e-5, rtol=0
    )
    assert seen.disparity is not None
    assert seen.disparity.shape == (4, 1, 33, 33)
    assert float(seen.disparity[0, 0, 16, 16]) == 1.0
    assert float(seen.disparity[0, 0, 0, 0]) == 0.0
    assert render(one_ball((1, 0, 0)), cameras, torch.zeros(4, 3)).disparity is None


def test_rendering_is_upright_and_not_mirrored() -> None:
    """Front camera: a ball up at the object's left (+x) appears top right."""
    g = one_ball((0, 0, 0), scale=0.1)
    g.means = torch.tensor([[0.5, 0.5, 0.0]])
    rgb = render(g, orbit_cameras(1, 0.0, 3.0, 40.0, 32), torch.ones(1, 3)).rgb[0].mean(0)
    row, column = divmod(int(rgb.argmin()), 32)
    assert row < 12
    assert column > 20


def test_scale_noise_changes_sizes() -> None:
    g, cameras = one_ball((0, 0, 0)), orbit_cameras(1, 0.0, 3.0, 40.0, 32)
    plain, bigger = (
        render(g, cameras, torch.ones(1, 3), scale_noise=noise).alpha.sum()
        for noise in (None, torch.full((1, 3), 1.5))
    )
    assert bigger > 1.5 * plain
    assert torch.isfinite(
        render(g, cameras, torch.ones(1, 3), scale_noise=torch.full((1, 3), -1.0)).rgb
    ).all()


def test_render_images_are_pictures_whatever_the_batch() -> None:
    g, cameras = one_ball((1.0, 0.5, 0.0)), orbit_cameras(5, 10.0, 3.0, 40.0, 24)
    one, two = (render_images(g, cameras, batch=batch) for batch in (2, 8))
    assert one.dtype == torch.uint8
    assert one.shape == (5, 24, 24, 3)
    assert torch.equal(one, two)
    assert one[0, 0, 0].tolist() == [255, 255, 255]


def backgrounds(settings: BackgroundSettings, n: int = 600) -> torch.Tensor:
    g = generator()
    return torch.stack([sample_background(settings, 3, g) for _ in range(n)])


def test_backgrounds() -> None:
    grey = backgrounds(BackgroundSettings(kind="grey", grey_range=(0.5, 0.9)))
    assert bool((grey == grey[:, :1, :1]).all()), "one grey for all cameras and channels"
    assert grey.min() >= 0.5
    assert grey.max() <= 0.9
    fixed = backgrounds(BackgroundSettings(kind="fixed", color=(0.1, 0.2, 0.3)), 5)
    torch.testing.assert_close(fixed, torch.tensor([0.1, 0.2, 0.3]).expand(5, 3, 3))
    mixed = backgrounds(BackgroundSettings(kind="mixed"))
    for colour, share in ((1, 0.34), (0, 0.33)):
        drawn = (mixed == colour).all(-1).float()
        assert float(drawn.mean()) == pytest.approx(share, abs=0.04)
        # each camera draws its own: three alike are as rare as independence says
        assert float(drawn.prod(1).mean()) == pytest.approx(share**3, abs=0.03)


def test_scale_noise_statistics() -> None:
    assert sample_scale_noise(GaussianSettings(), 5, generator()) is None
    always = GaussianSettings(scale_noise_probability=1.0)
    noise = sample_scale_noise(always, 20000, generator())
    assert noise is not None
    assert float(noise.std()) == pytest.approx(math.sqrt(0.2) / 4, rel=0.02)
    assert float(noise.mean()) == pytest.approx(1.0, abs=0.002)
    g = generator()
    sometimes = GaussianSettings(scale_noise_probability=0.3)
    share = sum(sample_scale_noise(sometimes, 2, g) is not None for _ in range(600)) / 600
    assert share == pytest.approx(0.3, abs=0.06)


def values(terms: list[Term]) -> dict[str, float]:
    """Weighted losses by name."""
    return {name: value for term in terms for name, value in term.values(term.sums).items()}


def test_total_variation_by_hand() -> None:
    # across: differences 1 and 3 in one row, 0 and 0 in the other; down: 0, 1, 4
    image = torch.tensor([[0.0, 1.0, 4.0], [0.0, 0.0, 0.0]])[None, None]
    assert float(total_variation(image)) == pytest.approx((0 + 1 + 16) / 3 + (1 + 9) / 4)


def test_regularisers_are_weighted_and_off_by_default() -> None:
    g = one_ball((0.5, 0.5, 0.5), scale=0.2, opacity=0.25).requires_grad_()
    cameras = orbit_cameras(2, 20.0, 3.0, 40.0, 17)
    seen = render(g, cameras, torch.zeros(2, 3), disparity=True, variation=True)
    assert seen.disparity is not None
    assert losses(RegulariserSettings(), seen) == []
    settings = RegulariserSettings(tv_rgb=2.0, tv_disparity=3.0, scale=5.0, opacity=7.0)
    terms = losses(settings, seen)
    variation = [float(total_variation(x.detach())) for x in (seen.rgb, seen.disparity)]
    assert values(terms) == pytest.approx(
        {
            "tv_rgb": 2 * variation[0],
            "tv_disparity": 3 * variation[1],
            "scale": 5 * 0.2,
            "opacity": 7 * 0.25,
        }
    )
    torch.autograd.backward([t.sums for t in terms], [t.gradient for t in terms], retain_graph=True)
    wanted = 2 * total_variation(seen.rgb) + 3 * total_variation(seen.disparity)
    wanted = wanted + 7 * torch.sigmoid(g.opacities).mean()
    (by_hand,) = torch.autograd.grad(wanted, g.opacities)
    torch.testing.assert_close(g.opacities.grad, by_hand)
    without = render(g, cameras, torch.zeros(2, 3), variation=True)
    assert list(values(losses(settings, without))) == ["tv_rgb", "scale", "opacity"]


def test_reconstruction_pulls_to_what_the_autoencoder_makes_of_a_picture() -> None:
    prior = small_prior()
    rgb = torch.rand(2, 3, 16, 16, generator=generator()).requires_grad_()
    z0 = prior.encode_images(rgb)
    target = prior.decode(z0.detach()).clamp(0, 1)
    assert not torch.allclose(rgb, target), "nothing to pull"
    terms = reconstruction(RegulariserSettings(reconstruction=3.0), prior, rgb, z0)
    (grad,) = torch.autograd.grad(terms[0].sums, rgb, terms[0].gradient)
    torch.testing.assert_close(grad, 3 * (rgb - target).detach())  # the decoding itself is held fixed
    assert reconstruction(RegulariserSettings(), prior, rgb, z0) == []


def seen(rgb: torch.Tensor, alpha: torch.Tensor) -> Render:
    """A rendering that shows given pictures."""
    return Render(rgb, alpha, None, torch.zeros(0, 2), torch.zeros(0, 2), {})


def dimmable(color: tuple[float, float, float]) -> GaussianAdam:
    adam = GaussianAdam(one_ball(color, sh_degree=1), OptimSettings(), 100)
    for moments in (adam.exp_avg, adam.exp_avg_sq):
        for m in moments.values():
            m += 1.0
    adam.gaussians.shN.data += 0.3
    return adam


def test_brightness_control() -> None:
    settings = RegulariserSettings(brightness=True, brightness_start=10, brightness_stop=20)
    opaque = torch.ones(1, 1, 8, 8)
    bright, dark = torch.full((1, 3, 8, 8), 0.95), torch.full((1, 3, 8, 8), 0.85)
    for rgb, iteration, factor in (
        (bright, 9, 1.0),
        (bright, 10, 0.8),
        (bright, 18, 0.8),
        (bright, 19, 1.0),
        (dark, 10, 1.0),
    ):
        adam = dimmable((1.0, 0.5, 0.0))
        before = {name: p.detach().clone() for name, p in adam.gaussians.parameters().items()}
        done = limit_brightness(settings, seen(rgb, opaque), adam, iteration)
        assert (done is not None and bool(done)) == (factor != 1.0)
        for name in ("sh0", "shN"):
            torch.testing.assert_close(adam.gaussians.parameters()[name].detach(), factor * before[name])
            assert bool((adam.exp_avg[name] == (1.0 if factor == 1.0 else 0.0)).all())
            assert bool((adam.exp_avg_sq[name] == (1.0 if factor == 1.0 else 0.0)).all())
        assert bool((adam.exp_avg["means"] == 1.0).all())
    off = RegulariserSettings()
    assert limit_brightness(off, seen(bright, opaque), dimmable((1, 1, 1)), 10) is None


def test_brightness_is_that_of_the_object_not_of_what_is_behind_it() -> None:
    """The quantile as NumPy has it: of each image over its object, then of the images."""
    settings = RegulariserSettings(brightness=True, brightness_start=0, brightness_quantile=0.85)
    random = torch.Generator().manual_seed(5)
    rgb, alpha = torch.rand(4, 3, 16, 16, generator=random), torch.rand(4, 1, 16, 16, generator=random)
    alpha[alpha < 0.4] = 0
    alpha[3] = 0  # an image that shows nothing
    values = rgb.mean(1).numpy()
    each = [np.quantile(values[i][alpha[i, 0].numpy() > 0], 0.85) for i in range(3)]
    quantile = float(np.quantile([*each, 0.0], 0.85))
    rgb = torch.where(alpha > 0, rgb, 1.0)  # a white background
    for limit, wanted in ((quantile - 1e-4, True), (quantile + 1e-4, False)):
        tried = settings.model_copy(update={"brightness_limit": limit})
        done = limit_brightness(tried, seen(rgb, alpha), dimmable((1.0, 0.5, 0.0)), 5)
        assert done is not None
        assert bool(done) == wanted
    nan = torch.tensor([1.0, float("nan")])
    tried = settings.model_copy(update={"brightness_limit": 0.0})
    assert not limit_brightness(tried, seen(rgb, alpha), dimmable((1.0, 0.5, 0.0)), 5, nan)


def test_projection_keeps_bounds_and_leaves_the_rest() -> None:
    g = one_ball((2.0, 0.5, -1.0), scale=3.0)
    keep_in_bounds(g, (0.01, 0.2), clamp_colors=True)
    torch.testing.assert_close(torch.exp(g.scales), torch.full((1, 3), 0.2))
    torch.testing.assert_close(0.5 + SH_C0 * g.sh0[0, 0], torch.tensor([1.0, 0.5, 0.0]), atol=2e-3, rtol=0)
    untouched = one_ball((2.0, 0.5, -1.0), scale=3.0)
    keep_in_bounds(untouched, None, clamp_colors=False)
    torch.testing.assert_close(0.5 + SH_C0 * untouched.sh0[0, 0], torch.tensor([2.0, 0.5, -1.0]))


def test_brightness_is_the_quantile_and_asks_for_no_refused_op() -> None:
    """torch.use_deterministic_algorithms(True) refuses kthvalue on CUDA: it may not be called anywhere."""
    called: list[str] = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(str(op))
            return op(*args, **(kwargs or {}))

    values = np.random.default_rng(0).permutation(1000) / 1002 + 1e-3
    rgb = torch.tensor(values).float().expand(1, 3, 1000).reshape(1, 3, 20, 50)
    alpha = torch.ones(1, 1, 20, 50)
    for quantile in (0.0, 0.25, 0.95, 1.0):
        exact = np.quantile(values, quantile)
        for limit, dimmed in ((exact - 5e-4, True), (exact + 5e-4, False)):
            settings = RegulariserSettings(
                brightness=True, brightness_start=0, brightness_quantile=quantile, brightness_limit=limit
            )
            with Record():
                done = limit_brightness(settings, seen(rgb, alpha), dimmable((1, 1, 1)), 0)
            assert done is not None
            assert bool(done) is dimmed, (quantile, limit)
    assert called
    assert not [name for name in called if "kthvalue" in name or "median" in name]
