"""Group norms of a UNet that runs in bfloat16 on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sctd.config.prior import PriorSettings
from sctd.prior import load_prior
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.norms import GroupNormInFloat32

CPU = torch.device("cpu")


def norms_of(folder: Path, dtype: torch.dtype, channels_last: bool = True) -> list[nn.GroupNorm]:
    prior = load_prior(PriorSettings(name=str(folder), channels_last=channels_last), CPU, dtype)
    assert isinstance(prior, DiffusersPrior)
    return [module for module in prior._unet.modules() if isinstance(module, nn.GroupNorm)]


def test_in_bfloat16_they_compute_in_float32(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed, torchs = [], F.group_norm

    def seen(x: Tensor, *rest: Any) -> Tensor:
        computed.append(x.dtype)
        return torchs(x, *rest)

    norms = norms_of(tiny_folder, torch.bfloat16)
    assert norms
    assert all(isinstance(norm, GroupNormInFloat32) for norm in norms)
    for norm in norms:
        x = torch.randn(2, norm.num_channels, 4, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
        x = x.contiguous(memory_format=torch.channels_last)
        with monkeypatch.context() as patch:
            patch.setattr(F, "group_norm", seen)
            made = norm(x)
        exact = torchs(x.double(), norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
        assert made.dtype == torch.bfloat16
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert (made.double() - exact).abs().max() <= exact.abs().max() * 2**-8  # bfloat16's rounding
    assert computed == [torch.float32] * len(norms)


@pytest.mark.parametrize(("dtype", "channels_last"), [(torch.float32, True), (torch.bfloat16, False)])
def test_elsewhere_they_are_torchs(tiny_folder: Path, dtype: torch.dtype, channels_last: bool) -> None:
    norms = norms_of(tiny_folder, dtype, channels_last)
    assert norms
    assert not any(isinstance(norm, GroupNormInFloat32) for norm in norms)
