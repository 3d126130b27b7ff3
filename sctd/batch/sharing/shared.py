"""One prior for several runs: what they ask at the same time goes through network and VAE in one call.

Each run has a :class:`Client`, which is a prior to it. Whatever is costly pauses the run; once all of them
wait, the largest group of requests of one kind is joined along the batch, and they go on with their parts.

Where the bits of an asset must not depend on its neighbours, on a CPU, a joint call is compared with the
separate ones when its sizes are new, and never made again if a bit differs: which kernels torch's libraries
choose depends on the size of a batch, the number of threads and the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from sctd.batch.sharing.calls import Call, Joint, Pull, forward, join, same_bits, split
from sctd.batch.sharing.client import Client
from sctd.batch.sharing.tasks import Task
from sctd.errors import out_of_memory
from sctd.prior.base import Prior

R = TypeVar("R")

Say = Callable[[str], None]


class SharedPrior:
    """Takes the turns of the runs and answers what they ask; knows nothing of what they make.

    Only calls of the thread that owns it and of the runs that it lets go on reach it, one at a time.
    """

    def __init__(self, prior: Prior, say: Say, *, exact: bool | None = None) -> None:
        """No run has started yet.

        Args:
            say: told what a person should know, once each.
            exact: whether a joint call must have the bits of the separate ones; None: on a CPU. Else their
                results differ by the rounding of the network's precision.
        """
        self.prior = prior
        self.exact = prior.device.type == "cpu" if exact is None else exact
        self.most = sys.maxsize
        """Runs in one joint call, lowered by each call that finds no memory."""
        self.texts: WeakValueDictionary[str, Tensor] = WeakValueDictionary()
        """Embeddings [1, L, D] that are in use, so that equal texts of several runs are the same memory."""
        self.torch_threads = prior.torch_threads
        self._say = say
        self._jobs: list[Task[Any]] = []
        self._asked = 0
        self._verdicts: dict[object, bool] = {}
        self._limited: set[str] = set()

    def start(self, function: Callable[[Prior], R]) -> Task[R]:
        """Let a run in: ``function`` is called with its prior, from the next :meth:`advance` on."""
        client = Client(self.prior, self.texts, self.torch_threads)

        def run() -> R:
            # What a run computes besides the prior is small. Threads for it would be a second pool that spins
            # for work beside that of the prior's calls, and takes its cores away.
            # The number is this thread's own.
            torch.set_num_threads(1)
            # Backward passes run in this thread then, which can pause. The one thread that autograd has for a
            # GPU would pause for all runs, and none of them would ever go on.
            with torch.autograd.set_multithreading_enabled(False):
                return function(client)

        job = Task(run)
        client.job = job
        self._jobs.append(job)
        return job

    def advance(self) -> list[Task[Any]]:
        """Let every run go on until it asks, in the order they started, and answer some of what they ask.

        Returns:
            The runs that are over, whose places are free; nothing was answered then, so that others may join.
        """
        for job in [job for job in self._jobs if job.request is None]:
            job.resume()
            self._asked += 1
            if not job.done:
                job.request.order = self._asked
        over = [job for job in self._jobs if job.done]
        self._jobs = [job for job in self._jobs if not job.done]
        if self._jobs and not over:
            self._serve(self._next())
        return over

    def close(self) -> None:
        """End the runs that are not over; what they have saved stays."""
        for job in self._jobs:
            job.abandon()
        self._jobs.clear()

    def _next(self) -> list[Task[Any]]:
        """The runs to serve now, those that have waited longest first.

        Encodings begin an iteration, their gradients end it. As long as a run is in between, those at either
        end wait for it: this keeps iterations in step, so that most calls are joined by all runs, and no run
        waits for more than an iteration of the others.
        """
        rank = min(job.request.rank for job in self._jobs)
        groups: dict[object, list[Task[Any]]] = {}
        for job in self._jobs:
            if job.request.rank == rank:
                groups.setdefault(job.request.kin, []).append(job)
        largest = max(groups.values(), key=lambda group: len(group))
        return sorted(largest, key=lambda job: job.request.order)

    def _serve(self, jobs: list[Task[Any]]) -> None:
        if isinstance(jobs[0].request, Pull):
            self._pull(jobs)
            return
        jobs = jobs[: self.most]
        while jobs:
            part = jobs
            try:
                part = jobs[: self._together([job.request for job in jobs])]
                self._call(part)
            except Exception as exc:
                if len(part) > 1 and out_of_memory(exc):
                    self._lower(len(part))
                    return  # the rest asks again, fewer at a time
                for job in part:
                    job.fail(exc)
            jobs = jobs[len(part) :]

    def _call(self, jobs: list[Task[Any]]) -> None:
        calls: list[Call] = [job.request for job in jobs]
        whole = join(calls)
        leaf, out = forward(self.prior, whole)
        parts = split(out.detach(), calls)
        joint = Joint(calls, leaf, out) if whole.grad else None
        for index, (job, part) in enumerate(zip(jobs, parts, strict=True)):
            job.answer((part, joint, index))

    def _pull(self, jobs: list[Task[Any]]) -> None:
        """The gradients of one joint call, for those of its runs that ask."""
        joint: Joint = jobs[0].request.joint
        grads = {job.request.index: job.request.grad for job in jobs}
        try:
            pulled = joint.pull(grads)
        except Exception as exc:
            if not out_of_memory(exc):
                for job in jobs:
                    job.fail(exc)
                return
            if len(joint.calls) > 1:
                self._lower(len(joint.calls))
            joint.forget()
            pulled = {}
        for job in jobs:
            index = job.request.index
            try:
                job.answer(pulled[index] if pulled else joint.pull_again(self.prior, index, grads[index]))
            except Exception as exc:
                job.fail(exc)

    def _together(self, calls: Sequence[Call]) -> int:
        """How many of these, from the first on, can be one call."""
        count = len(calls)
        while count > 1 and self.exact and not self._equal(calls[:count]):
            count = (count + 1) // 2
        return count

    def _equal(self, calls: Sequence[Call]) -> bool:
        """Whether a joint call has the bits of the separate ones; found out once for calls of these sizes."""
        key = tuple(call.sizes for call in calls), join(calls).varied
        if key not in self._verdicts:
            self._verdicts[key] = same_bits(self.prior, calls)
            if not self._verdicts[key] and calls[0].kind not in self._limited:
                self._limited.add(calls[0].kind)
                self._say(
                    f"{calls[0].kind}: not {len(calls)} assets in one call of {join(calls).count}; on this "
                    f"machine, with {torch.get_num_threads()} torch threads, their last bits would differ "
                    "from those of one alone"
                )
        return self._verdicts[key]

    def _lower(self, count: int) -> None:
        self.most = min(self.most, count // 2)
        if self.prior.device.type == "cuda":
            torch.cuda.empty_cache()
        self._say(f"out of memory with {count} assets in one call: from now on at most {self.most}")
