"""A short run of each method changes the Gaussians, and interrupted it ends with the same asset."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import Silent, small_config, small_prior, small_run

from sctd import methods
from sctd.run.folder import LOG, read_log
from sctd.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class _Interrupting(Silent):
    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        if iteration == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", methods.BUILT)
def test_a_run_learns_and_resumes_bit_for_bit(tmp_path: Path, name: str) -> None:
    overrides = (f"method={name}", "output.checkpoint_every=2")
    whole = small_run(tmp_path / "whole", 6, *overrides)
    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path / "cut", 6, *overrides, report=_Interrupting())
    resumed = small_run(tmp_path / "cut", 6, *overrides, resume=True)
    assert resumed.asset_ply.read_bytes() == whole.asset_ply.read_bytes()
    rows = read_log(tmp_path / "whole" / LOG)
    assert all(row["weight"] > 0 and row["evaluations"] > 0 and row["t"] > 0 for row in rows)


@pytest.mark.parametrize("name", methods.BUILT)
def test_the_method_alone_moves_the_gaussians(name: str) -> None:
    """Without regularisers, noise and densification nothing else can."""
    off = ("regularisers.tv_rgb=0", "regularisers.scale=0", "regularisers.reconstruction=0")
    still = ("densify.strategy=none", "gaussians.scale_noise_probability=0")
    trainer = Trainer(small_config(3, f"method={name}", *off, *still), small_prior())
    before = trainer.gaussians.means.detach().clone()
    assert "offender" not in trainer.step()
    assert not torch.equal(trainer.gaussians.means, before)
