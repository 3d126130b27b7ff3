"""Every error of every command ends here: one line for the person, and the exit code.

0 done, 2 bad input (also: an output that cannot be written), 1 anything else.
"""

from __future__ import annotations

import errno

import typer

from sctd.errors import SctdError, out_of_memory

BAD_INPUT = 2
FAILED = 1

# Typer brings its own copy of click since 0.26 and used the real one before: either way this is the base of
# the errors that parsing raises.
UsageProblem: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

# Operating system errors that the person can mend by freeing space or by choosing another folder.
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
    """Ctrl-C; the message says what was saved."""


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
