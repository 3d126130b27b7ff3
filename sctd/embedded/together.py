"""Several processes of a CPU that train one model in step.

Each draws its own share of a batch, and all take the step of the mean of their gradients.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sctd.errors import TrainingFailure

START = timedelta(minutes=10)
PAUSE = timedelta(days=7)
"""A process that is stopped for so long may go on; one that has ended is noticed at once."""


@dataclass(frozen=True)
class Member:
    """One of the processes. The first, rank 0, reports and saves."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, batch: int) -> int:
        """This process's part of a batch, at least 1."""
        return max(1, batch // self.size + (self.rank < batch % self.size))

    def seed(self, seed: int) -> int:
        """Another for each process; the first keeps it."""
        return seed + 7_001 * self.rank

    def agree(self, model: nn.Module, stop: bool, seconds: float) -> tuple[bool, float]:
        """Make every gradient the mean of all processes, and let them agree on how the training goes on.

        Args:
            stop: whether this process is asked to stop. seconds: how long it has trained.

        Returns:
            Whether any is asked to stop, and the first one's seconds: the same in every process.

        Raises:
            TrainingFailure: another process has ended.
        """
        if self.size == 1:
            return stop, seconds
        parameters = [p for p in model.parameters() if p.requires_grad]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        told = torch.tensor([float(stop), seconds if self.leads else 0.0])
        summed = torch.cat([*(grad.flatten() for grad in grads), told])
        _all_reduce(summed)
        means = summed[:-2].div_(self.size).split([p.numel() for p in parameters])
        for parameter, mean in zip(parameters, means, strict=True):
            parameter.grad = mean.view_as(parameter)
        return bool(summed[-2] > 0), float(summed[-1])


ALONE = Member()


def _all_reduce(values: Tensor) -> None:
    try:
        dist.all_reduce(values)
    except RuntimeError as exc:
        raise TrainingFailure(
            "another process of this training has ended; go on from the last checkpoint with --resume"
        ) from exc


@contextmanager
def in_step(processes: int, work: Callable[[Member], Any]) -> Iterator[Member]:
    """Start ``work`` in all processes but this one, which is the first member and must do the same work.

    Args:
        work: is pickled. It ends by itself, with the training.
    """
    if processes == 1:
        yield ALONE
        return
    threads = torch.get_num_threads()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_work, args=(Member(rank, processes), meeting, work), daemon=True)
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        member = Member(0, processes)
        try:
            with _joined(member, meeting):
                yield member
            for other in others:
                other.join()
        finally:
            for other in others:
                other.terminate()
                other.join()
            torch.set_num_threads(threads)


def _work(member: Member, meeting: Path, work: Callable[[Member], Any]) -> None:
    """A further process. The first one tells why all stop, so this one stops without a word."""
    with suppress(KeyboardInterrupt, TrainingFailure), _joined(member, meeting):
        work(member)


@contextmanager
def _joined(member: Member, meeting: Path) -> Iterator[None]:
    """This process among the others, with its part of the threads."""
    torch.set_num_threads(max(1, torch.get_num_threads() // member.size))
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine
    store = dist.FileStore(str(meeting), member.size)  # type: ignore[attr-defined]
    store.set_timeout(START)
    try:
        dist.init_process_group("gloo", timeout=PAUSE, store=store, rank=member.rank, world_size=member.size)
    except RuntimeError as exc:
        raise TrainingFailure("another process of this training did not start; see above") from exc
    try:
        yield
    finally:
        dist.destroy_process_group()
