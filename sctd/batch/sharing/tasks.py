"""A function that pauses in the middle: it has a thread, which runs only while its owner waits for it.

A run asks for the network in the depth of a loop, and of a backward pass, from where it cannot yield. But no
two of these threads ever run at once, so that results do not depend on timing, nothing needs a lock, and the
libraries' own pools of threads are entered one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Abandoned(BaseException):
    """Raised in a task that its owner gives up; no handler of ordinary errors stops it."""


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
        """What the task waits for; None when it waits for nothing but to be resumed."""
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        """What the function raised, once done."""

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
        """Have the task's request answered; it goes on at the next :meth:`resume`."""
        self.request, self._answer = None, value

    def fail(self, failure: BaseException) -> None:
        """Have the task's request raise an error; it goes on at the next :meth:`resume`."""
        self.request, self._failure = None, failure

    def resume(self) -> None:
        """Let the task run until it asks or is done."""
        if not self._thread.is_alive():
            self._thread.start()
        self._away = True
        self._go.release()
        self._back.acquire()
        self._away = False

    def abandon(self) -> None:
        """End the task with an :class:`Abandoned` at its next request, however often it asks."""
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
        except BaseException as exc:  # whatever it is, the owner must learn that the task is over
            self.error = exc
        self.request, self.done = None, True
        self._back.release()
