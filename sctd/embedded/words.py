"""The words of the small world: kinds, colours, patterns, and the words of views, which all worlds share.

Loads neither torch nor NumPy, so that a prompt from outside this world is refused at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from sctd.errors import PromptError

Table = Mapping[str, tuple[str, ...]]
"""Name => the phrases for it, the name's own first."""
_KINDS_WITH_FRONT: Table = {
    "airplane": ("airplane", "plane", "aeroplane"),
    "bear": ("bear", "teddy bear", "teddy"),
    "boat": ("boat", "sailboat"),
    "car": ("car", "automobile"),
    "cat": ("cat", "kitten"),
    "chair": ("chair",),
    "duck": ("duck", "rubber duck"),
    "house": ("house", "cottage"),
    "penguin": ("penguin",),
    "rabbit": ("rabbit", "bunny"),
    "robot": ("robot",),
    "snowman": ("snowman",),
    "sofa": ("sofa", "couch"),
    "truck": ("truck", "lorry"),
}
_KINDS_WITHOUT_FRONT: Table = {
    "apple": ("apple",),
    "ball": ("ball", "sphere"),
    "cactus": ("cactus",),
    "cone": ("cone", "traffic cone"),
    "cube": ("cube", "box"),
    "donut": ("donut", "doughnut"),
    "ice cream": ("ice cream", "ice cream cone"),
    "lamp": ("lamp", "table lamp"),
    "mug": ("mug", "cup"),
    "mushroom": ("mushroom", "toadstool"),
    "rocket": ("rocket", "spaceship"),
    "table": ("table", "desk"),
    "tree": ("tree", "fir tree"),
    "vase": ("vase",),
}
_COLORS: Table = {
    "red": ("red", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "white": ("white",),
    "grey": ("grey", "gray"),
    "black": ("black",),
}
_PATTERNS: Table = {
    "plain": ("", "plain"),
    "striped": ("striped", "with stripes"),
    "spotted": ("spotted", "dotted", "with spots", "with dots"),
    "shiny": ("shiny", "glossy"),
}
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
MAX_WORDS = 16  # the text encoder reads 20 tokens, two of them marks; every word of this world is one token
_FILLER = frozenset(
    word
    for words in (
        "a an the photo picture image render rendering 3d model",
        "of that is in with colored coloured object",
    )
    for word in words.split()
)


@dataclass(frozen=True)
class Subject:
    """What a prompt of the small world asks for: a kind, a colour and a pattern, by name."""

    world: ClassVar[str] = "small"
    kind: str
    color: str
    pattern: str = "plain"

    @property
    def has_front(self) -> bool:
        return self.kind in SMALL.kinds_with_front

    def __str__(self) -> str:
        pattern = "" if self.pattern == "plain" else f"{self.pattern} "
        words = f"{pattern}{self.color} {self.kind}"
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Words:
    """A world of one object in one colour and one pattern: its names, and the phrases for each."""

    kinds_with_front: Table
    """These look different from every side."""
    kinds_without_front: Table
    colors: Table
    patterns: Table
    kinds: Table = field(init=False)
    """Those with a front first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", {**self.kinds_with_front, **self.kinds_without_front})

    def describe(self) -> str:
        """What the world holds, in one line."""
        return (
            f"it draws one object of {len(self.kinds)} kinds ({', '.join(self.kinds)}) in one of "
            f"{len(self.colors)} colours ({', '.join(self.colors)}), plain, "
            f"{', '.join(name for name in self.patterns if name != 'plain')}"
        )

    def check_prompt(self, prompt: str) -> Subject:
        """Read a prompt such as ``"a striped red mushroom, front view"``.

        Raises:
            PromptError: a word is unknown, or the kind or the colour is missing or given twice; the message
                says what the embedded prior knows and how to use Stable Diffusion instead.
        """
        words = split(prompt)
        if len(words) > MAX_WORDS:
            raise self._refusal(f"the prompt has {len(words)} words and it reads at most {MAX_WORDS}")
        words, _ = take(words, VIEW_WORDS)
        words, patterns = take(words, self.patterns)
        words, kinds = take(words, self.kinds)
        words, colors = take(words, self.colors)
        unknown = [word for word in words if word not in _FILLER]
        if unknown:
            known = (self.kinds, self.colors, self.patterns)
            raise self._refusal(f"it does not know {quoted(unknown)}{suggestion(unknown[0], known)}")
        for what, found in (("kind of object", kinds), ("colour", colors)):
            if len(found) != 1:
                raise self._refusal(f"the prompt names {'no' if not found else 'more than one'} {what}")
        if len(patterns) > 1:
            raise self._refusal("the prompt names more than one pattern")
        return Subject(kinds[0], colors[0], patterns[0] if patterns else "plain")

    def _refusal(self, reason: str) -> PromptError:
        return refusal(reason, self.describe())


SMALL = Words(_KINDS_WITH_FRONT, _KINDS_WITHOUT_FRONT, _COLORS, _PATTERNS)


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
