"""Rendering to latents: which picture is encoded, at what size, and that gradients arrive."""

from __future__ import annotations

import pytest
import torch

from sctd.latents import render_to_latents, resized
from sctd.prior.analytic import AnalyticPrior


@pytest.fixture
def prior() -> AnalyticPrior:
    means = torch.zeros(2, 4, 4, 4)
    return AnalyticPrior(means, torch.ones(2), torch.ones(2), {"duck": [0]})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_colours_are_encoded_with_gradient(prior):
    rgb = torch.rand(2, 3, 16, 16, requires_grad=True)
    z, images, from_disparity, mirrored = render_to_latents(prior, rgb, None, generator())
    torch.testing.assert_close(z, prior.encode_images(rgb))
    assert images is rgb
    assert not from_disparity
    assert not mirrored
    z.sum().backward()
    assert (rgb.grad != 0).all()


def test_disparity_is_encoded_as_a_grey_picture(prior):
    disparity = torch.rand(2, 1, 16, 16, requires_grad=True)
    rgb = torch.rand(2, 3, 16, 16)
    z, _, from_disparity, _ = render_to_latents(prior, rgb, disparity, generator(), as_latent=1.0)
    assert from_disparity
    torch.testing.assert_close(z, prior.encode_images(disparity.expand(-1, 3, -1, -1)))
    z.sum().backward()
    assert disparity.grad.norm() > 0


def test_the_share_of_disparities_is_the_probability(prior):
    rgb, draws = torch.rand(1, 3, 16, 16), generator()
    made = [render_to_latents(prior, rgb, rgb[:, :1], draws, as_latent=0.2, flip=0.5) for _ in range(500)]
    for hits, probability in (
        (sum(m.from_disparity for m in made), 0.2),
        (sum(m.mirrored for m in made), 0.5),
    ):
        assert abs(hits - 500 * probability) < 4 * (500 * probability * (1 - probability)) ** 0.5


def test_a_mirrored_batch_is_encoded_mirrored_with_gradient(prior):
    rgb = torch.rand(2, 3, 16, 16, requires_grad=True)
    made = render_to_latents(prior, rgb, None, generator(), flip=1.0)
    assert made.mirrored
    torch.testing.assert_close(made.z0, prior.encode_images(rgb.flip(-1)))
    weights = torch.rand_like(made.z0)
    (mirrored,) = torch.autograd.grad((made.z0 * weights).sum(), rgb)
    (plain,) = torch.autograd.grad((prior.encode_images(rgb.flip(-1)) * weights).sum(), rgb)
    torch.testing.assert_close(mirrored, plain)


def test_a_missing_disparity_is_an_error(prior):
    with pytest.raises(ValueError, match="needs a disparity"):
        render_to_latents(prior, torch.rand(1, 3, 16, 16), None, generator(), as_latent=1.0)


def test_other_sizes_are_resized_with_gradient(prior):
    rgb = torch.rand(1, 3, 40, 40, requires_grad=True)
    z = render_to_latents(prior, rgb, None, generator()).z0
    assert z.shape == (1, 4, 4, 4)
    z.square().sum().backward()
    assert (rgb.grad.abs().sum(1) > 0).float().mean() > 0.9, "antialiasing lets every pixel take part"
    same = torch.rand(1, 3, 16, 16)
    assert resized(same, 16) is same
