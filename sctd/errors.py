"""Errors made for people: one line that says what was given, what is allowed and what to do."""

from __future__ import annotations

import errno
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
    """The output cannot be written: no place, no permission, no space left; the message says which."""


class PromptError(InputError):
    """The prompt is empty, malformed, or outside what the chosen prior knows."""


class BackendUnavailable(SctdError, RuntimeError):
    """A requested backend cannot run here; the message says why and what to install."""


class TrainingFailure(SctdError, RuntimeError):
    """Optimisation could not go on; the message names the likely cause and the last good checkpoint."""


def unwritable(path: Path, exc: OSError) -> OutputError:
    """The error of a place that the system does not let sctd write to."""
    reason = exc.strerror or type(exc).__name__
    hint = "make room" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another output folder"
    return OutputError(f"cannot write to {path}: {reason}; {hint}")
