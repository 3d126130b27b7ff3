"""One prior for several runs: their simultaneous calls to network and VAE are joined into one.

Each run has a :class:`Client` as its prior. A costly call pauses the run. Once all runs wait,
:class:`SharedPrior` joins the largest group of requests of one kind along the batch, and these runs continue
with their parts of the result.

On a CPU the bits of an asset must not depend on its neighbours, but the kernels that torch's libraries choose
depend on the size of a batch, the number of threads and the machine. So a joint call with new sizes is
compared with the separate ones, and never made again if a bit differs.
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
    """Runs the tasks in turn and answers their requests; knows nothing of assets.

    Only its own thread and the one run that it lets continue call it, one at a time.
    """

    def __init__(self, prior: Prior, say: Say, *, exact: bool | None = None) -> None:
        """No run has started yet.

        Args:
            say: gets each message for people once.
            exact: whether a joint call must agree in every bit with the separate ones; None: on a CPU.
                Otherwise the results differ by the rounding of the network's precision.
        """
        self.prior = prior
        self.exact = prior.traits.device.type == "cpu" if exact is None else exact
        self.most = sys.maxsize
        """Runs in one joint call at most; a call that runs out of memory lowers it."""
        self.texts: WeakValueDictionary[str, Tensor] = WeakValueDictionary()
        """Embeddings [1, L, D] in use, so that equal texts of several runs share memory."""
        self.torch_threads = prior.traits.threads_now()
        self._say = say
        self._tasks: list[Task[Any]] = []
        self._asked = 0
        self._verdicts: dict[object, bool] = {}
        self._limited: set[str] = set()

    def start(self, function: Callable[[Prior], R]) -> Task[R]:
        """Add a run: the next :meth:`advance` calls ``function`` with its prior."""
        client = Client(self.prior, self.texts, self.torch_threads)

        def run() -> R:
            # A run's own computations are small. Threads for them would be a second pool that spins
            # for work beside that of the prior's calls, and takes its cores away.
            # The number is this thread's own.
            torch.set_num_threads(1)
            # Then backward passes run in this thread, which can pause. The one thread that autograd has for a
            # GPU would pause for all runs, and none of them would ever continue.
            with torch.autograd.set_multithreading_enabled(False):
                return function(client)

        task = Task(run)
        client.task = task
        self._tasks.append(task)
        return task

    def advance(self) -> list[Task[Any]]:
        """Let every run continue to its next request, in the order they started, and answer some requests.

        Returns:
            The runs that have ended. Then no request was answered, so that other runs may start first.
        """
        for task in [task for task in self._tasks if task.request is None]:
            task.resume()
            self._asked += 1
            if not task.done:
                task.request.order = self._asked
        over = [task for task in self._tasks if task.done]
        self._tasks = [task for task in self._tasks if not task.done]
        if self._tasks and not over:
            self._serve(self._next())
        return over

    def close(self) -> None:
        """End the runs that have not ended; their checkpoints stay."""
        for task in self._tasks:
            task.abandon()
        self._tasks.clear()

    def _next(self) -> list[Task[Any]]:
        """The runs to answer now, those that have waited longest first.

        Encodings begin an iteration, their gradients end it. As long as a run is in the middle of its
        iteration, runs at either end wait for it. This keeps iterations in step, so that most calls join
        all runs, and no run waits for more than an iteration of the others.
        """
        rank = min(task.request.rank for task in self._tasks)
        groups: dict[object, list[Task[Any]]] = {}
        for task in self._tasks:
            if task.request.rank == rank:
                groups.setdefault(task.request.kin, []).append(task)
        largest = max(groups.values(), key=lambda group: len(group))
        return sorted(largest, key=lambda task: task.request.order)

    def _serve(self, tasks: list[Task[Any]]) -> None:
        if isinstance(tasks[0].request, Pull):
            self._pull(tasks)
            return
        tasks = tasks[: self.most]
        while tasks:
            part = tasks
            try:
                part = tasks[: self._together([task.request for task in tasks])]
                self._call(part)
            except Exception as exc:
                if len(part) > 1 and out_of_memory(exc):
                    self._lower(len(part))
                    return  # the others repeat their requests, fewer at a time
                for task in part:
                    task.fail(exc)
            tasks = tasks[len(part) :]

    def _call(self, tasks: list[Task[Any]]) -> None:
        calls: list[Call] = [task.request for task in tasks]
        whole = join(calls)
        leaf, out = forward(self.prior, whole)
        parts = split(out.detach(), calls)
        joint = Joint(calls, leaf, out) if whole.grad else None
        for index, (task, part) in enumerate(zip(tasks, parts, strict=True)):
            task.answer((part, joint, index))

    def _pull(self, tasks: list[Task[Any]]) -> None:
        """The gradients of one joint call, for the runs that request them."""
        joint: Joint = tasks[0].request.joint
        grads = {task.request.index: task.request.grad for task in tasks}
        try:
            pulled = joint.pull(grads)
        except Exception as exc:
            if not out_of_memory(exc):
                for task in tasks:
                    task.fail(exc)
                return
            if len(joint.calls) > 1:
                self._lower(len(joint.calls))
            joint.forget()
            pulled = {}
        for task in tasks:
            index = task.request.index
            try:
                task.answer(pulled[index] if pulled else joint.pull_again(self.prior, index, grads[index]))
            except Exception as exc:
                task.fail(exc)

    def _together(self, calls: Sequence[Call]) -> int:
        """How many of these calls, from the first on, can be joined."""
        count = len(calls)
        while count > 1 and self.exact and not self._equal(calls[:count]):
            count = (count + 1) // 2
        return count

    def _equal(self, calls: Sequence[Call]) -> bool:
        """Whether a joint call agrees in every bit with the separate ones; tried once for these sizes."""
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
        if self.prior.traits.device.type == "cuda":
            torch.cuda.empty_cache()
        self._say(f"out of memory with {count} assets in one call: from now on at most {self.most}")
