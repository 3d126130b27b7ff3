"""What every world's prompts have in common: words of views, and how phrases are found and refused.

Loads neither torch nor NumPy, so that a prompt from outside a world is refused at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

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


def not_known(words: Sequence[str], tables: Iterable[Table]) -> str:
    """Says that words are unknown, the first five, and which known phrases they may stand for, together or
    each."""
    known = {phrase: name for table in tables for name, phrases in table.items() for phrase in phrases}
    together = " ".join(words)
    if len(words) > 1 and (nearest := _nearest(together, known)):
        return f"it does not know '{together}'{nearest}"
    told = [f"'{word}'{_nearest(word, known)}" for word in words[:5]]
    return f"it does not know {', '.join(told)}"


def _nearest(text: str, known: Mapping[str, str]) -> str:
    """At most three known phrases, those that hold the text first, as a question; '' where none is near."""
    holding = [phrase for phrase in known if text in phrase.split()]
    found: dict[str, str] = {}
    for phrase in (*holding, *difflib.get_close_matches(text, known, n=6, cutoff=0.75)):
        found.setdefault(known[phrase], f"'{phrase}'")  # one of those that mean the same
    return f" (did you mean {' or '.join(list(found.values())[:3])}?)" if found else ""


def refusal(reason: str, world: str, known: str) -> PromptError:
    """The error for a prompt from outside a world, by name: why, what is ``known``, and the way out."""
    return PromptError(
        f"the embedded prior cannot draw this prompt: {reason}; {known}; `sctd prior words {world}` lists "
        "what it knows; for anything else pass --prior with a Stable Diffusion 1.5 or 2.x folder, "
        ".safetensors file or hub id"
    )
