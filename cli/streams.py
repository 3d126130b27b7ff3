"""Standard output and error that may be closed, full or hung up, which must not end a run.

Text that cannot be written to stderr, such as progress, is dropped silently. Text for stdout is the result:
if it cannot be written, the files stay and the exit code reports the failure.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Outlet:
    """A text stream that remembers its first failed write and drops all text after it."""

    def __init__(self, stream: TextIO | None) -> None:
        """Takes None for a stream that was closed before the process began."""
        self._stream = stream
        self.lost: Exception | None = None
        """The error of the first failed write."""

    def write(self, text: str) -> int:
        """Write, if possible."""
        if self._stream is None:
            self.lost = OSError(errno.EBADF, os.strerror(errno.EBADF))
        elif self.lost is None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as exc:  # ValueError: closed, or not of the stream's encoding
                self._lose(exc)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer, if possible."""
        if self._stream is not None and self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as exc:
                self._lose(exc)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, exc: Exception) -> None:
        """Drop the buffer, so that Python does not complain when it flushes at exit."""
        self.lost = exc
        with suppress(OSError, ValueError):
            assert self._stream is not None
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def protect() -> Outlet:
    """Put both streams of the process behind outlets, until it ends; returns the outlet of stdout.

    This first opens closed descriptors 0 to 2: otherwise the next opened file would get such a number, and
    the output of libraries would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    result = Outlet(sys.stdout)
    sys.stdout, sys.stderr = result, Outlet(sys.stderr)
    return result


def untold(result: Outlet) -> str | None:
    """Why the result did not reach stdout, for people; None: it did. "": the reader has closed the pipe."""
    result.flush()
    if result.lost is None:
        return None
    if isinstance(result.lost, BrokenPipeError):
        return ""
    reason = getattr(result.lost, "strerror", None) or str(result.lost)
    return f"the result cannot be written to standard output ({reason}); what was made is kept"
