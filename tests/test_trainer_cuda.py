"""Whole iterations through the CUDA kernels, emulated: render, backward, Adam; and no room for pairs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import ORIGINAL, small_config, small_prior

from sctd.trainer import Scalars, Trainer

pytestmark = pytest.mark.usefixtures("simt_module", "one_torch_thread")


def train(before_step: Callable[[Trainer], None] = lambda trainer: None) -> tuple[Trainer, list[Scalars]]:
    """Six iterations."""
    trainer = Trainer(small_config(20), small_prior(), "cuda-simt")
    logged = []
    for _ in range(6):
        before_step(trainer)
        logged.append(trainer.step())
    return trainer, logged


@pytest.mark.parametrize("overrides", [(), ("optim.sparse=true",), ORIGINAL], ids=["", "sparse", "original"])
def test_cuda_kernels_train_as_the_cpu_does(overrides: tuple[str, ...]) -> None:
    """One iteration, by Adam's moments: the parameters themselves move by the gradient's sign, in which
    rounding can be all there is. Then five more, by their losses."""
    # with noise on the scales from the start, as the quaternions of round Gaussians have no gradient
    config = small_config(20, "gaussians.scale_noise_probability=1", *overrides)
    ours, want = (Trainer(config, small_prior(), backend) for backend in ("cuda-simt", "cpu"))
    first, wanted = ours.step(), want.step()
    assert first.keys() == wanted.keys()
    assert first["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    for name, moment in want.asset.optimiser.exp_avg.items():
        tolerance = 1e-4 * moment.abs().max().item()
        assert tolerance > 0, name
        torch.testing.assert_close(
            ours.asset.optimiser.exp_avg[name], moment, rtol=0, atol=tolerance, msg=name
        )
    for _ in range(5):
        assert ours.step()["loss"] == pytest.approx(want.step()["loss"], rel=0.05)
    assert len(ours.gaussians) == len(want.gaussians)
    assert ours.asset.capacity.pairs >= 1024
    assert want.asset.capacity.pairs == 0


def test_an_iteration_without_room_is_repeated_bit_for_bit() -> None:
    asked: list[int] = []

    def starve(trainer: Trainer) -> None:
        asked.append(trainer.asset.capacity.pairs)
        trainer.asset.capacity.pairs = 5

    calm, logged = train()
    starved, again = train(starve)
    assert again == logged
    assert min(asked[1:]) >= 1024, "every repetition found room"
    for a, b in zip(
        starved.gaussians.parameters().values(), calm.gaussians.parameters().values(), strict=True
    ):
        assert torch.equal(a, b)
    for name, generator in starved.random.items():
        assert torch.equal(generator.get_state(), calm.random[name].get_state()), name


def test_an_attempt_without_room_leaves_nothing_in_memory() -> None:
    """The networks' activations hang on its latents: those of two attempts would need twice the memory."""
    trainer = Trainer(small_config(20), small_prior(), "cuda-simt")
    trainer.step()
    trainer.asset.capacity.pairs = 5
    method, attempts, alive = trainer.method, [], []

    def watched(z0: torch.Tensor, *rest: Any) -> Any:
        alive.append(sum(attempt() is not None for attempt in attempts))
        attempts.append(weakref.ref(z0))
        return method(z0, *rest)

    trainer.method = watched  # type: ignore[assignment]
    trainer.step()
    assert alive == [0, 0]
