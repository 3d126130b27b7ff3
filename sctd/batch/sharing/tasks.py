"""A function that pauses in the middle: it has a thread, which runs only while its owner waits for it.

Runs call the network deep inside loops and backward passes, where a generator cannot yield; so each has a
thread. No two of these threads ever run at once. So results do not depend on timing, nothing needs a lock,
and only one thread at a time uses the libraries' thread pools.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Abandoned(BaseException):
    """Raised in a task that its owner abandons; no handler of ordinary errors catches it."""


class Task(Generic[R]):
    """A call of a function that may pause with :meth:`ask` until its owner has an answer."""

    def __init__(self, function: Callable[[], R]) -> None:
        """Nothing runs before the first :meth:`resume`."""
        self._function = function
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._away = False
        self._answer: Any = None
        self._failure: BaseException | None = None
        self.request: Any = None
        """The request that the task waits for; None when it only waits to be resumed."""
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        """The exception of the function, once done."""

    def ask(self, request: Any) -> Any:
        """In the task: pause with a request; returns its answer or raises its failure."""
        self.request = request
        self._back.release()
        self._go.acquire()
        answer, failure = self._answer, self._failure
        self._answer = self._failure = None
        if failure is not None:
            raise failure
        return answer

    def answer(self, value: Any) -> None:
        """Answer the task's request; it continues at the next :meth:`resume`."""
        self.request, self._answer = None, value

    def fail(self, failure: BaseException) -> None:
        """Make the task's request raise an error; it continues at the next :meth:`resume`."""
        self.request, self._failure = None, failure

    def resume(self) -> None:
        """Let the task run until its next request or its end."""
        if not self._thread.is_alive():
            self._thread.start()
        self._away = True
        self._go.release()
        self._back.acquire()
        self._away = False

    def abandon(self) -> None:
        """End the task with an :class:`Abandoned` at its next request and every later one."""
        if self._away:  # an interrupt came while it ran
            self._back.acquire()
            self._away = False
        while self._thread.is_alive() and not self.done:
            self.fail(Abandoned())
            self.resume()

    def _main(self) -> None:
        self._go.acquire()
        try:
            self.result = self._function()
        except BaseException as exc:  # the owner must learn that the task has ended, for any reason
            self.error = exc
        self.request, self.done = None, True
        self._back.release()
