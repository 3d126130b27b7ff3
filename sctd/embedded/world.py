"""The worlds that an embedded prior can know, as objects: prompts, captions and true pictures of each.

Loads no torch. Weights name their world in their card (``weights.py``).
"""

from __future__ import annotations

import importlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sctd.embedded.subject import Asked, Subject
from sctd.embedded.weights import CARD, FOLDER, read_card
from sctd.errors import InputError
from sctd.registry import named

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sctd.cameras import Viewpoints
    from sctd.embedded.heads import Questions
    from sctd.embedded.traced import Tracing

WORLDS = {"small": "sctd.embedded.worlds.small.world", "rich": "sctd.embedded.worlds.rich.world"}
"""Name => the module whose WORLD it is."""


class World(ABC):
    """A world: what it reads, how it is said, what it looks like. Subjects are its own, as it made them."""

    name: ClassVar[str]
    text_length: ClassVar[int]
    """Tokens that its text encoder reads, start and end included."""

    @abstractmethod
    def describe(self) -> str:
        """What it holds, in one line."""

    @abstractmethod
    def contents(self) -> Mapping[str, Sequence[str]]:
        """What it holds, by sort: the names of its kinds, colours and all else that a prompt may ask for."""

    @abstractmethod
    def check_prompt(self, prompt: str) -> Subject:
        """The subject that a prompt asks for.

        Raises:
            PromptError: the prompt is of another world; says what this one holds.
        """

    @abstractmethod
    def draw(self, rng: random.Random) -> Subject:
        """A random subject to learn from."""

    @abstractmethod
    def each_kind(self, rng: random.Random) -> Sequence[Subject]:
        """A subject of every kind, of which nothing is said that can be left open."""

    @abstractmethod
    def evaluated(self) -> Sequence[Subject]:
        """Subjects that results are reported on, and no setting is chosen on, in a fixed order. The first
        ones are of every sort: with a front and without."""

    @abstractmethod
    def tuning(self) -> Sequence[Subject]:
        """Subjects that settings are chosen on, none of them evaluated. A prior may have learned them."""

    @abstractmethod
    def caption(self, subject: Any, rng: random.Random) -> str:
        """One way to say a subject, without a view."""

    @abstractmethod
    def samples(self, n: int, seed: int) -> list[Asked]:
        """n prompts with words of views; the recogniser judges a prior's samples of them."""

    @abstractmethod
    def every_caption(self) -> Iterator[str]:
        """A stream that holds every word of the world many times; what its tokenizer is made from."""

    @abstractmethod
    def truth(self, subject: Any, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
        """The subject from these cameras: pictures [n, 3, size, size] over their backgrounds and coverage [n,
        size, size], 0..1."""

    @abstractmethod
    def distance(self, subject: Any, points: NDArray[Any]) -> NDArray[np.float32]:
        """Signed distances of points [N, 3] to the surface that the truth is traced from, [N], negative
        inside; exact where they are 0."""

    @property
    def tracing(self) -> Tracing:
        """How it is traced for training."""
        tracing: Tracing = named(f"sctd.embedded.worlds.{self.name}.tracing:TRACING")
        return tracing

    @property
    def questions(self) -> Questions:
        """What its recogniser is asked."""
        questions: Questions = named(f"sctd.embedded.worlds.{self.name}.questions:QUESTIONS")
        return questions


def world_named(name: str) -> World:
    """A world of WORLDS.

    Raises:
        InputError: there is none of this name.
    """
    if name not in WORLDS:
        raise InputError(f"no world is named {name!r}; there are {', '.join(WORLDS)}")
    world: World = importlib.import_module(WORLDS[name]).WORLD
    return world


def world_on_card(folder: Path) -> World | None:
    """The world that the card in a folder names; None where there is no such card."""
    name = read_card(folder).get("world")
    return None if name is None else world_named(name)


def world_of(folder: Path = FOLDER) -> World:
    """The world that the weights of a folder know.

    Raises:
        InputError: their card names none.
    """
    world = world_on_card(folder)
    if world is None:
        raise InputError(
            f'{folder} does not say which world its weights know (no "world" in {CARD}); reinstall sctd, or '
            "train them again"
        )
    return world
