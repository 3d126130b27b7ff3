"""Named lists of prompts that results are reported on. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from sctd.embedded.prompts import drawn_subjects
from sctd.errors import InputError

FOLDER = Path(__file__).parent
EMBEDDED, EMBEDDED_PROMPTS = "embedded", 24


def names() -> list[str]:
    """Names that :func:`prompts` takes."""
    return sorted([EMBEDDED, *(path.stem for path in FOLDER.glob("*.txt"))])


def prompts(name: str) -> list[str]:
    """The prompts of a suite, in its order.

    "embedded" is drawn with a fixed seed from the embedded world, without the prompts for tuning its
    settings; the others are text files beside this one, which name their sources.

    Raises:
        InputError: there is no suite of that name.
    """
    if name == EMBEDDED:
        return [str(subject) for subject in drawn_subjects(EMBEDDED_PROMPTS)]
    if name not in names():
        raise InputError(f"unknown suite {name!r}; choose one of: {', '.join(names())}")
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
