"""Checks a process's environment: the variables SCTD_* and the working directory. Loads no torch."""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Callable
from contextlib import suppress

from sctd.errors import InputError

MOST_THREADS = 1024
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
VARIABLES = (
    *("SCTD_NUM_THREADS", "SCTD_CPU_ISA", "SCTD_DEBUG"),
    *("SCTD_BUILD", "SCTD_CUDA_ARCH_LIST", "SCTD_WERROR"),  # setup.py
    *("SCTD_SIMT_MODULE", "SCTD_PTX_MODULE", "SCTD_PTX_ARCH", "SCTD_REQUIRE_BACKENDS"),  # tests
)
"""Every SCTD_ variable that some code reads."""

_told: set[str] = set()


def check() -> None:
    """Refuse values that would otherwise be ignored silently, or fail in a library with its own message.

    Raises:
        InputError: a variable has a value that is not allowed, or the working directory is gone.
    """
    check_variables()
    if os.environ.get("SCTD_CPU_ISA"):
        with suppress(ImportError):  # reported by the code that needs it
            check_instruction_set(importlib.import_module("sctd._native").isa())  # no torch
    try:
        os.getcwd()
    except OSError as exc:
        raise InputError(
            f"the current folder cannot be entered ({exc.strerror}), maybe it was removed; "
            "change to another one with cd"
        ) from exc


def check_variables() -> None:
    """Raises InputError when an SCTD_ variable of the native code has a value that is not allowed."""
    threads = os.environ.get("SCTD_NUM_THREADS", "")
    number = int(threads) if re.fullmatch(r"[0-9]{1,4}", threads) else 0
    if threads and not 1 <= number <= MOST_THREADS:
        raise InputError(
            f"SCTD_NUM_THREADS must be a whole number in 1..{MOST_THREADS}; got {threads!r}; "
            "unset it for as many threads as there are cores"
        )
    wish = os.environ.get("SCTD_CPU_ISA", "")
    if wish and wish not in INSTRUCTION_SETS:
        raise InputError(f"SCTD_CPU_ISA must be one of {', '.join(INSTRUCTION_SETS)}; got {wish!r}")


def check_instruction_set(used: str) -> None:
    """Raises InputError when SCTD_CPU_ISA names another instruction set than the native code uses, which is
    the best of the processor and the build."""
    wish = os.environ.get("SCTD_CPU_ISA", "")
    if wish and wish != used:
        raise InputError(
            f"SCTD_CPU_ISA asks for {wish}, and the best that this processor can run is {used}; "
            "unset it, or ask for that or less"
        )


def unknown_variables() -> list[str]:
    """A sentence for each SCTD_ variable that no code reads: most likely a misspelt one."""
    names = (name for name in sorted(os.environ) if name.upper().startswith("SCTD_"))
    unknown = {
        name: difflib.get_close_matches(name.upper(), VARIABLES, n=1, cutoff=0)[0]
        for name in names
        if name not in VARIABLES
    }
    return [f"{name} is set, and nothing reads it; did you mean {known}?" for name, known in unknown.items()]


def tell_unknown(say: Callable[[str], object]) -> None:
    """Report :func:`unknown_variables`, each once in a process."""
    for line in unknown_variables():
        if line not in _told:
            _told.add(line)
            say(line)
