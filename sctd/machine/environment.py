"""What the surroundings of a process must be like: variables SCTD_*, and a working directory. No torch."""

from __future__ import annotations

import os
import re

from sctd.errors import InputError

MOST_THREADS = 1024
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def check() -> None:
    """Refuse what would else be passed over in silence, or end in a library's own words.

    Raises:
        InputError: a variable has a value that it cannot have, or the working directory is gone.
    """
    check_variables()
    try:
        os.getcwd()
    except OSError as exc:
        raise InputError(
            f"the current folder cannot be entered ({exc.strerror}), maybe it was removed; "
            "change to another one with cd"
        ) from exc


def check_variables() -> None:
    """Raises InputError when an SCTD_ variable of the native code has a value that it cannot have."""
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
