"""The small world that the embedded prior knows: kinds, colours, patterns, views, and the words for them.

Loads neither torch nor NumPy, so that a prompt from outside this world is refused at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sctd.errors import PromptError

# The first word of each tuple is the name; the others mean the same. Kinds with a front look different from
# every side.
KINDS_WITH_FRONT: Mapping[str, tuple[str, ...]] = {
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
KINDS_WITHOUT_FRONT: Mapping[str, tuple[str, ...]] = {
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
KINDS: Mapping[str, tuple[str, ...]] = {**KINDS_WITH_FRONT, **KINDS_WITHOUT_FRONT}

COLORS: Mapping[str, tuple[str, ...]] = {
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
PATTERNS: Mapping[str, tuple[str, ...]] = {
    "plain": ("", "plain"),
    "striped": ("striped", "with stripes"),
    "spotted": ("spotted", "dotted", "with spots", "with dots"),
    "shiny": ("shiny", "glossy"),
}
# The five phrases between which text.py blends (front, left, right, back, overhead), then other words for
# them.
VIEW_PHRASES = ("front view", "left side view", "right side view", "back view", "overhead view")
VIEW_WORDS: Mapping[str, tuple[str, ...]] = {
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
    """What a prompt of the embedded world asks for: a kind, a colour and a pattern, by name."""

    kind: str
    color: str
    pattern: str = "plain"

    @property
    def has_front(self) -> bool:
        return self.kind in KINDS_WITH_FRONT

    def __str__(self) -> str:
        pattern = "" if self.pattern == "plain" else f"{self.pattern} "
        words = f"{pattern}{self.color} {self.kind}"
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe() -> str:
    """What the embedded prior knows, in one line."""
    return (
        f"it draws one object of {len(KINDS)} kinds ({', '.join(KINDS)}) in one of {len(COLORS)} colours "
        f"({', '.join(COLORS)}), plain, {', '.join(name for name in PATTERNS if name != 'plain')}"
    )


def check_prompt(prompt: str) -> Subject:
    """Read a prompt such as ``"a striped red mushroom, front view"``.

    Raises:
        PromptError: a word is unknown, or the kind or the colour is missing or given twice; the message says
            what the embedded prior knows and how to use Stable Diffusion instead.
    """
    words = re.findall(r"[a-z0-9]+|[^\sa-z0-9,.]", prompt.lower())
    if len(words) > MAX_WORDS:
        raise _refusal(f"the prompt has {len(words)} words and it reads at most {MAX_WORDS}")
    words, _ = _take(words, VIEW_WORDS)
    words, patterns = _take(words, PATTERNS)
    words, kinds = _take(words, KINDS)
    words, colors = _take(words, COLORS)
    unknown = [word for word in words if word not in _FILLER]
    if unknown:
        raise _refusal(f"it does not know {_quoted(unknown)}", _suggestion(unknown[0]))
    for what, found in (("kind of object", kinds), ("colour", colors)):
        if len(found) != 1:
            raise _refusal(f"the prompt names {'no' if not found else 'more than one'} {what}")
    if len(patterns) > 1:
        raise _refusal("the prompt names more than one pattern")
    return Subject(kinds[0], colors[0], patterns[0] if patterns else "plain")


def _take(words: list[str], table: Mapping[str, tuple[str, ...]]) -> tuple[list[str], list[str]]:
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


def _suggestion(word: str) -> str:
    known = [
        phrase for table in (KINDS, COLORS, PATTERNS) for synonyms in table.values() for phrase in synonyms
    ]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in list(words)[:5])


def _refusal(reason: str, hint: str = "") -> PromptError:
    return PromptError(
        f"the embedded prior cannot draw this prompt: {reason}{hint}; {describe()}; "
        "for anything else pass --prior with a Stable Diffusion 1.5 or 2.x folder, .safetensors file or hub "
        "id"
    )
