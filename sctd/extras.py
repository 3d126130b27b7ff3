"""Optional packages: a missing one is one line that says how to get it."""

from __future__ import annotations

import importlib.util

from sctd.errors import InputError


def need_matplotlib(what: str) -> None:
    """Find out whether curves can be drawn, without loading anything.

    Args:
        what: the option or command that asks, for the message.

    Raises:
        InputError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            f'{what} needs matplotlib; run `pip install "sctd[bench]"` or `pip install matplotlib`'
        )
