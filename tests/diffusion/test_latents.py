"""Rendering to latents: which picture is encoded, at what size, and that gradients arrive."""

from __future__ import annotations

import pytest
import torch

from sctd.latents import fit, render_to_latents
from sctd.ops import stretched
from sctd.prior.analytic import AnalyticPrior


@pytest.fixture
def prior() -> AnalyticPrior:
    means = torch.zeros(2, 4, 4, 4)
    return AnalyticPrior(means, torch.ones(2), torch.ones(2), {"duck": [0]})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_colours_are_encoded_with_gradient(prior):
    rgb = torch.rand(2, 3, 16, 16, requires_grad=True)
    z, from_disparity = render_to_latents(prior, rgb, None, 0.0, generator())
    torch.testing.assert_close(z, prior.encode_images(rgb))
    assert not from_disparity
    z.sum().backward()
    assert (rgb.grad != 0).all()


def test_disparity_is_encoded_as_a_grey_picture(prior):
    disparity = torch.rand(2, 1, 16, 16, requires_grad=True)
    z, from_disparity = render_to_latents(prior, torch.rand(2, 3, 16, 16), disparity, 1.0, generator())
    assert from_disparity
    torch.testing.assert_close(z, prior.encode_images(stretched(disparity)))
    z.sum().backward()
    assert disparity.grad.norm() > 0


def test_the_share_of_disparities_is_the_probability(prior):
    rgb, draws = torch.rand(1, 3, 16, 16), generator()
    hits = sum(render_to_latents(prior, rgb, rgb[:, :1], 0.2, draws)[1] for _ in range(500))
    assert abs(hits - 100) < 4 * (500 * 0.2 * 0.8) ** 0.5


def test_a_missing_disparity_is_an_error(prior):
    with pytest.raises(ValueError, match="needs a disparity"):
        render_to_latents(prior, torch.rand(1, 3, 16, 16), None, 1.0, generator())


def test_normalised_disparity_spans_each_image():
    disparity = torch.tensor([[2.0, 4.0, 3.0, 2.5], [0.0, 0.1, 0.2, 0.05]]).view(2, 1, 2, 2)
    got = stretched(disparity)[:, :1].flatten(1)
    torch.testing.assert_close(got, torch.tensor([[0, 1, 0.5, 0.25], [0, 0.5, 1, 0.25]]))
    assert (stretched(torch.full((1, 1, 4, 4), 0.7)) == 0).all()


def test_other_sizes_are_resized_with_gradient(prior):
    rgb = torch.rand(1, 3, 40, 40, requires_grad=True)
    z, _ = render_to_latents(prior, rgb, None, 0.0, generator())
    assert z.shape == (1, 4, 4, 4)
    z.square().sum().backward()
    assert (rgb.grad.abs().sum(1) > 0).float().mean() > 0.9, "antialiasing lets every pixel take part"
    same = torch.rand(1, 3, 16, 16)
    assert fit(same, 16) is same
