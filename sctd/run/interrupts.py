"""Signals that ask a process to end: at once, or after an update is complete. Loads no torch."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals of Ctrl-C, of a batch system or a shutdown, and of a closed terminal."""
PATIENCE = "the iteration is finished and a checkpoint saved first; Ctrl-\\ ends at once, without one"


class Interrupts:
    """Turns signals into KeyboardInterrupt, or notes them while an update must be completed.

    An exception in the middle of an update would leave inconsistent parameters and moments. The process has
    a permanent instance. When a KeyboardInterrupt leaves a nested instance, the permanent one starts to wait,
    so that no further signal interrupts the cleaning up.
    """

    def __init__(self, say: Callable[[str], None] | None = None, *, wait: bool = False) -> None:
        """No signal is caught yet.

        Args:
            say: gets one message when a second signal comes, which waits too.
            wait: note signals; otherwise each raises KeyboardInterrupt at once.
        """
        self.wait = wait
        self.pending = False
        """Whether a signal was noted."""
        self._say = say
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Begin to catch signals; does nothing outside the main thread, which alone can catch them."""
        with suppress(ValueError):
            for number in SIGNALS:
                before = signal.getsignal(number)
                if number == getattr(signal, "SIGHUP", None) and before == signal.SIG_IGN:
                    continue  # nohup: the person wants the process to outlive the terminal
                signal.signal(number, self._note)
                self._before[number] = before

    def hold(self) -> None:
        """From now on signals wait, without a message, because the process is ending cleanly."""
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
            with suppress(RuntimeError):  # the signal came in the middle of another message
                say(PATIENCE)
        self.pending = True
