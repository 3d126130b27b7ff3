"""The words of the small world: kinds, colours, patterns.

Loads neither torch nor NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sctd.embedded.words import VIEW_WORDS, Table, not_known, refusal, split, take
from sctd.embedded.worlds.rich import phrases
from sctd.errors import PromptError

_OTHER_PHRASES: Table = {
    "bear": ("bear", "teddy bear", "teddy"),
    "boat": ("boat", "sailboat"),
    "car": ("car", "automobile"),
    "cat": ("cat", "kitten"),
    "duck": ("duck", "rubber duck"),
    "penguin": ("penguin",),
    "rabbit": ("rabbit", "bunny"),
    "robot": ("robot",),
    "red": ("red", "crimson"),
    "cyan": ("cyan", "turquoise"),
    "striped": ("striped", "with stripes"),
    "spotted": ("spotted", "dotted", "with spots", "with dots"),
}
"""Where the rich world has more."""


def _phrases(table: Table, *names: str) -> Table:
    return {name: _OTHER_PHRASES.get(name, table[name]) for name in names}


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
        """What the world holds, in a few words."""
        return (
            f"it draws one object of {len(self.kinds)} kinds in one of {len(self.colors)} colours, such as "
            "'a red mushroom' or 'a striped blue car'"
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
            raise self._refusal(not_known(unknown, (self.kinds, self.colors, self.patterns)))
        for what, found in (("kind of object", kinds), ("colour", colors)):
            if len(found) != 1:
                raise self._refusal(f"the prompt names {'no' if not found else 'more than one'} {what}")
        if len(patterns) > 1:
            raise self._refusal("the prompt names more than one pattern")
        return Subject(kinds[0], colors[0], patterns[0] if patterns else "plain")

    def _refusal(self, reason: str) -> PromptError:
        return refusal(reason, Subject.world, self.describe())


SMALL = Words(
    kinds_with_front=_phrases(
        phrases.KINDS,
        *("airplane", "bear", "boat", "car", "cat", "chair", "duck", "house", "penguin", "rabbit", "robot"),
        *("snowman", "sofa", "truck"),
    ),
    kinds_without_front=_phrases(
        phrases.KINDS,
        *("apple", "ball", "cactus", "cone", "cube", "donut", "ice cream", "lamp", "mug", "mushroom"),
        *("rocket", "table", "tree", "vase"),
    ),
    colors=_phrases(phrases.COLORS, *phrases.COLORS),
    patterns={"plain": ("", "plain"), **_phrases(phrases.STYLES, "striped", "spotted", "shiny")},
)
