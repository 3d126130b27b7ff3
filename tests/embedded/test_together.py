"""Processes that train one model in step: the mean of their gradients, one checkpoint, one end."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sctd.embedded.optimizers import Muon, adamw
from sctd.embedded.together import ALONE, Member, in_step
from sctd.embedded.training import Length, Run, power_average, step_generator
from sctd.errors import TrainingFailure

STEPS = 12


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)


def loss_of(model: Tiny, rank: int, step: int) -> Tensor:
    x = torch.randn(8, 4, generator=step_generator(rank, step))
    loss: Tensor = (model.layer(x) - x.flip(1)).square().mean()
    return loss


def new_run(folder: Path, member: Member) -> tuple[Run, Tiny]:
    model = Tiny()
    weight, bias = model.parameters()
    optimizers = [Muon([weight], 1e-2), adamw([bias], 1e-2)]
    return Run("tiny", folder, model, optimizers, power_average(0.1), member), model


def train(folder: Path, at: int, number: int, member: Member) -> Run:
    """What each process does; the second one sends itself a signal in step ``at``."""
    run, model = new_run(folder, member)
    run.resume()

    def loss(step: int) -> Tensor:
        if step == at and not member.leads:
            os.kill(os.getpid(), number)
        return loss_of(model, member.rank, step)

    run.train(loss, Length(steps=STEPS), lambda line: None)
    return run


def trained(folder: Path, at: int = -1, number: int = signal.SIGTERM) -> Run:
    work = partial(train, folder, at, number)
    with in_step(2, work) as member:
        return work(member)


def test_a_batch_is_shared_out() -> None:
    for size, batch in ((3, 96), (4, 10), (2, 1)):
        shares = [Member(rank, size).share(batch) for rank in range(size)]
        assert sum(shares) == max(batch, size)
        assert max(shares) - min(shares) <= 1
    assert ALONE.share(96) == 96
    assert len({Member(rank, 3).seed(5) for rank in range(3)}) == 3
    assert ALONE.seed(5) == 5


def test_two_processes_take_the_step_of_the_mean_gradient_and_resume_exactly(tmp_path: Path) -> None:
    alone, model = new_run(tmp_path / "alone", ALONE)
    alone.train(
        lambda step: (loss_of(model, 0, step) + loss_of(model, 1, step)) / 2,
        Length(steps=STEPS),
        lambda line: None,
    )
    whole = trained(tmp_path / "whole")
    torch.testing.assert_close(whole.model.state_dict(), model.state_dict())

    # A signal to one of them stops all of them after the same step, and the first one saves.
    with pytest.raises(KeyboardInterrupt, match="stopped at tiny step 6"):
        trained(tmp_path / "cut", at=5)
    again = trained(tmp_path / "cut")
    for key, value in whole.ema.items():
        assert torch.equal(value, again.ema[key])


def test_when_one_process_dies_the_training_ends_with_a_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailure, match="another process of this training has ended"):
        trained(tmp_path, at=3, number=signal.SIGKILL)
