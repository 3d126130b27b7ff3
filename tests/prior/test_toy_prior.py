"""The prior named "analytic": loads by name, knows its words, draws what they say."""

from __future__ import annotations

import pytest
import torch

from sctd.errors import PromptError
from sctd.prior import load_prior
from sctd.prior.toy import BACKGROUND, COLORS


@pytest.mark.parametrize("color", COLORS)
def test_a_text_stands_for_its_picture(color):
    prior = load_prior("analytic")
    text = prior.encode_text([f"a {color} ball, front view"])
    # at the noisiest level the clean latents that the prediction means are the mean of the text's components
    z = torch.randn(1, *prior.traits.latent_shape, generator=torch.Generator().manual_seed(0))
    abar = prior.traits.alphas_cumprod[999]
    clean = (z - (1 - abar).sqrt() * prior.predict(z, 999, text)) / abar.sqrt()
    image = prior.decode(clean).clamp(0, 1)[0]
    middle, corner = image[:, 16, 16], image[:, 0, 0]
    torch.testing.assert_close(middle, torch.tensor(COLORS[color]), atol=0.05, rtol=0)
    torch.testing.assert_close(corner, torch.full((3,), BACKGROUND), atol=0.05, rtol=0)


def test_words_it_does_not_know_are_refused():
    prior = load_prior("analytic")
    with pytest.raises(PromptError, match=r"'a bagel' has none of the words ball, blue, box"):
        prior.check_prompt("a bagel")
    with pytest.raises(PromptError, match="none in common"):
        prior.encode_text(["a red blue ball"])


def test_half_precision_is_raised_to_what_the_formula_needs():
    assert load_prior("analytic", dtype=torch.float16).traits.dtype == torch.float32
    assert load_prior("analytic", dtype=torch.float64).traits.dtype == torch.float64
