"""Signals that ask a process to end: what ends at once, and what is put in order first. No torch."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, the wish of a batch system or of a shutdown, and a terminal that is closed."""
PATIENCE = "the iteration is finished and a checkpoint saved first; Ctrl-\\ ends at once, without one"


class Interrupts:
    """Turns signals into KeyboardInterrupt, or notes them while something has to become whole.

    An exception in the middle of an update would leave parameters and moments that no run could have. Inside
    another one that the process has for good, this one leaves it to wait once a KeyboardInterrupt is on its
    way out, so that no further signal interrupts the putting in order.
    """

    def __init__(self, say: Callable[[str], None] | None = None, *, wait: bool = False) -> None:
        """No signal is caught yet.

        Args:
            say: told once, when a second signal comes and has to wait too.
            wait: signals are noted; else each raises KeyboardInterrupt at once.
        """
        self.wait = wait
        self.pending = False
        """Whether a signal was noted."""
        self._say = say
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Begin to catch; outside the main thread, where nothing can be caught, this does nothing."""
        with suppress(ValueError):
            for number in SIGNALS:
                before = signal.getsignal(number)
                if number == getattr(signal, "SIGHUP", None) and before == signal.SIG_IGN:
                    continue  # nohup: to outlive the terminal is what was asked for
                signal.signal(number, self._note)
                self._before[number] = before

    def hold(self) -> None:
        """From now on signals wait, and nothing is said of them: what ends here is put in order."""
        self.wait, self._say = True, None

    def __enter__(self) -> Interrupts:
        self.install()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ending = kind is not None and issubclass(kind, KeyboardInterrupt)
        for number, handler in self._before.items():
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Interrupts):
                outer.pending |= self.pending
                outer.wait |= ending
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.wait:
            raise KeyboardInterrupt
        if self.pending and self._say is not None:
            say, self._say = self._say, None
            with suppress(RuntimeError):  # it was in the middle of saying something else
                say(PATIENCE)
        self.pending = True
