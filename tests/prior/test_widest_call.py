"""What each method says of its widest call of the network, for the memory estimate, is what it asks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import views_from
from torch import Tensor

from sctd import methods
from sctd.config import load_config
from sctd.prior.analytic import AnalyticPrior
from sctd.prior.card_memory import widest_batch
from sctd.text import ViewTexts

BATCH = 3
SECTIONS = [
    *((name, "") for name in methods.BUILT),
    ("sctd", "sctd.exact_null=true"),
    ("sctd", "sctd.perp_neg.enabled=true"),
    ("sctd", "sctd.cp_weight=1"),
    ("gcs", "gcs.cp_weight=0"),
    ("gcs", "gcs.losses=released"),
    ("csd", "csd.null_share_end=0.5"),
]


class Watched(AnalyticPrior):
    """Keeps the batch of its widest call."""

    widest = 0

    def predict(self, latents: Tensor, *rest: Any) -> Tensor:
        self.widest = max(self.widest, len(latents))
        return super().predict(latents, *rest)


@pytest.mark.parametrize("negative", ["", "blurry"])
@pytest.mark.parametrize(("name", "override"), SECTIONS)
def test_the_estimates_batch_is_the_widest_that_a_method_asks(
    name: str, override: str, negative: str
) -> None:
    overrides = ["cameras.batch=3", f"method={name}", *([override] if override else [])]
    config = load_config(prompt="a duck", overrides=[*overrides, f"negative_prompt='{negative}'"])
    means = torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    prior = Watched(means, torch.full((2,), 0.5), torch.ones(2), {"duck": [0], "blurry": [1]})
    texts = ViewTexts.encode(prior, config.prompt, config.negative_prompt, config.views)
    method = methods.get(name)(prior, texts, getattr(config, name), iterations=4, seed=0)
    z0 = torch.randn(BATCH, 4, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for iteration in (0, 3):
        method(z0, views_from(*[0.0] * BATCH), iteration, torch.Generator().manual_seed(0))
    assert widest_batch(config) == prior.widest
