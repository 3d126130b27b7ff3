"""Errors for people: one line with the given value, the allowed ones and the remedy."""

from __future__ import annotations

import errno
import re
from pathlib import Path


class SctdError(Exception):
    """Base of every error sctd raises on purpose; the command line prints its message and exits with 1."""

    exit_code = 1


class InputError(SctdError, ValueError):
    """The user gave something that cannot be used; the command line exits with 2."""

    exit_code = 2


class Unsupported(InputError, NotImplementedError):
    """An option that another library has and this one does not; the message names it."""


class OutputError(InputError):
    """The output cannot be written: no folder, no permission, no space left; the message says which."""


class PromptError(InputError):
    """The prompt is empty, malformed, or outside what the chosen prior knows."""


class BackendUnavailable(SctdError, RuntimeError):
    """A requested backend cannot run here; the message says why and what to install."""


class TooLarge(SctdError, ValueError):
    """A count exceeds a kernel's 32-bit numbers; the message names it and the setting to lower."""


class TrainingFailure(SctdError, RuntimeError):
    """Optimisation could not continue; the message names the likely cause and the last good checkpoint."""


# Messages of torch's allocator and the dynamic loader on a CPU. The loader has similar messages about a file
# system that forbids programs and about thread-local storage, which have other causes.
_NO_MEMORY = re.compile(
    r"allocate memory(?! in static TLS)|"
    r"failed to map segment from shared object(?!: Operation not permitted)",
    re.IGNORECASE,
)


def out_of_memory(exc: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that memory ran out. Loads no torch."""
    while exc is not None:
        kinds = {cls.__name__ for cls in type(exc).__mro__}
        if kinds & {"MemoryError", "OutOfMemoryError"} or getattr(exc, "errno", None) == errno.ENOMEM:
            return True
        if _NO_MEMORY.search(str(exc)):
            return True
        exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return False


def unwritable(path: Path, exc: OSError) -> OutputError:
    """The error for a path that the system does not let sctd write."""
    reason = exc.strerror or type(exc).__name__
    hint = "make room" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another output folder"
    return OutputError(f"cannot write to {path}: {reason}; {hint}")
