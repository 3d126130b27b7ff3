"""Named lists of prompts that results are reported on. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable

from sctd.embedded.world import world_of
from sctd.embedded.worlds.rich.table1 import PROMPTS as TABLE1
from sctd.errors import InputError

EVALUATED = 24
"""Prompts of the suite "embedded", which take hours on two cores; more are there."""


def _embedded() -> list[str]:
    return [str(subject) for subject in world_of().evaluated()[:EVALUATED]]


SUITES: dict[str, Callable[[], list[str]]] = {"embedded": _embedded, "table1": lambda: list(TABLE1)}
"""By name. "embedded": drawn with a fixed seed from the world of the embedded prior, for no tuning of its
settings. "table1": the forty prompts of the paper's Table 1, exactly as printed."""


def names() -> list[str]:
    """Names that :func:`prompts` takes."""
    return list(SUITES)


def prompts(name: str) -> list[str]:
    """The prompts of a suite, in its order.

    Raises:
        InputError: there is no suite of that name.
    """
    if name not in SUITES:
        raise InputError(f"unknown suite {name!r}; choose one of: {', '.join(SUITES)}")
    return SUITES[name]()
