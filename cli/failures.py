"""Turns every error of every command into one line for the person and an exit code.

0 success, 2 bad input (also: an output that cannot be written), 1 any other failure.
"""

from __future__ import annotations

import errno

import typer

from sctd.errors import SctdError, out_of_memory

BAD_INPUT = 2
FAILED = 1

# Since 0.26 Typer has its own copy of click, before it used the real one: in both cases this is the base
# class of the parser's errors.
UsageProblem: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

# Operating system errors that the person can fix by freeing space or by choosing another folder.
_OUTPUT_ERRORS = {
    errno.ENOSPC: "no space left on the disk; free some, or write somewhere else with --out",
    errno.EDQUOT: "the disk quota is used up; free some space, or write somewhere else with --out",
    errno.EFBIG: "the file would be larger than the system allows (see `ulimit -f`)",
    errno.EROFS: "the file system is read-only; write somewhere else with --out",
    errno.EACCES: "permission denied; choose a place you may write to with --out",
    errno.EPERM: "operation not permitted; choose a place you may write to with --out",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one with --out",
}


class Interrupted(SctdError):
    """Ctrl-C; the message names what was saved."""


def one_line(text: str) -> str:
    """The text with all white space and control characters folded to single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def explain(exc: BaseException) -> tuple[str, int]:
    """(message without line breaks, exit code) of any exception that left a command."""
    if isinstance(exc, SctdError):
        return one_line(str(exc)), exc.exit_code
    if isinstance(exc, UsageProblem):
        message = one_line(str(exc.format_message()))  # type: ignore[attr-defined]
        context = getattr(exc, "ctx", None)
        command = context.command_path if context is not None else "sctd"
        return f"{message.rstrip('.')} (see `{command} --help`)", BAD_INPUT
    if isinstance(exc, KeyboardInterrupt):
        return one_line(str(exc)) or "interrupted", FAILED
    if isinstance(exc, OSError) and exc.errno in _OUTPUT_ERRORS:
        where = f"cannot write {exc.filename}: " if exc.filename else "cannot write: "
        return one_line(where + _OUTPUT_ERRORS[exc.errno]), BAD_INPUT
    if out_of_memory(exc):
        return (
            "out of memory; close other programs, or lower gaussians.count and cameras.size with --set",
            FAILED,
        )
    kind = type(exc).__name__
    return f"unexpected {kind}: {one_line(str(exc))[:500]}; `sctd --debug ...` shows where", FAILED
