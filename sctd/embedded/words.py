"""What every world's prompts have in common: words of views, and how phrases are found and refused.

Loads neither torch nor NumPy, so that a prompt from outside a world is refused at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from sctd.errors import PromptError

Table = Mapping[str, tuple[str, ...]]
"""Name => the phrases for it, the name's own first."""
# The five phrases between which text.py blends (front, left, right, back, overhead), then other words for
# them.
VIEW_PHRASES = ("front view", "left side view", "right side view", "back view", "overhead view")
VIEW_NAMES = ("front", "side", "back", "overhead")
"""The views that a recogniser tells apart."""
VIEW_WORDS: Table = {
    "front": ("front view", "from the front", "seen from the front"),
    "left": ("left side view", "from the left side"),
    "right": ("right side view", "from the right side"),
    "side": ("side view", "from the side", "seen from the side"),
    "back": ("back view", "rear view", "from behind", "seen from behind"),
    "overhead": ("overhead view", "top view", "from above", "seen from above"),
}


def split(prompt: str) -> list[str]:
    """The words of a prompt in lower case; other characters are words of their own, commas and stops none."""
    return re.findall(r"[a-z0-9]+|[^\sa-z0-9,.]", prompt.lower())


def take(words: list[str], table: Table) -> tuple[list[str], list[str]]:
    """Remove every phrase of ``table`` from ``words``, longest first; return the rest and the names found."""
    phrases = sorted(
        ((phrase.split(), name) for name, synonyms in table.items() for phrase in synonyms if phrase),
        key=lambda item: -len(item[0]),
    )
    found: list[str] = []
    for phrase, name in phrases:
        for start in range(len(words) - len(phrase), -1, -1):
            if words[start : start + len(phrase)] == phrase:
                words = [*words[:start], *words[start + len(phrase) :]]
                found.append(name)
    return words, found


def suggestion(word: str, tables: Iterable[Table]) -> str:
    """The known phrase nearest to a word, as a question in brackets; empty where none is near."""
    known = [phrase for table in tables for synonyms in table.values() for phrase in synonyms]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f" (did you mean '{close[0]}'?)" if close else ""


def quoted(words: Iterable[str]) -> str:
    """The first five words, in quotes."""
    return ", ".join(f"'{word}'" for word in list(words)[:5])


def refusal(reason: str, known: str) -> PromptError:
    """The error for a prompt from outside: why, what is ``known``, and the way out."""
    return PromptError(
        f"the embedded prior cannot draw this prompt: {reason}; {known}; "
        "for anything else pass --prior with a Stable Diffusion 1.5 or 2.x folder, .safetensors file or hub "
        "id"
    )
