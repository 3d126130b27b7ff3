"""Texts that a person typed: the characters of a prompt, and the folder's name made of it."""

from __future__ import annotations

import re
import unicodedata
import zlib

_JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: Persian and Indic words and many emoji have them inside."""


def with_plain_spaces(text: str) -> str:
    """The text with every kind of space, such as the no-break space of pasted text, made a plain one."""
    return "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)


def first_control(text: str) -> int | None:
    """Position of a text's first control character: a line break, a direction mark, an unassigned one, ..."""
    bad = (i for i, c in enumerate(text) if not c.isprintable() and c not in _JOINERS)
    return next(bad, None)


def slug(prompt: str) -> str:
    """A folder name made of a-z, 0-9 and single hyphens, at most 48 characters, never empty: no paths."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return words or f"prompt-{zlib.crc32(prompt.encode('utf-8', 'surrogatepass')):08x}"


def shorten(text: str, length: int = 60) -> str:
    """The text, cut with an ellipsis when it is longer than ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
