"""What a recogniser is asked of a picture, and the questions of a world."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sctd.embedded.captions import view_of
from sctd.embedded.subject import Subject
from sctd.embedded.traced import Pictures, TracedViews
from sctd.embedded.training import Report


@dataclass(frozen=True)
class Head(ABC):
    """A question with known answers."""

    names: tuple[str, ...]

    @abstractmethod
    def target(self, answers: Sequence[Any]) -> Tensor:
        """Right answers, None where nothing was asked, as the loss takes them, [n, ...]."""

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over pictures, with logits [n, names]."""

    @abstractmethod
    def answers(self, logits: Tensor) -> list[Any]:
        """What logits [n, names] say of each picture."""

    @abstractmethod
    def right(self, answer: Any, wanted: Any) -> tuple[int, int]:
        """Of a picture: right names, and names that were asked."""


class OneOf(Head):
    """Answered by one name."""

    def target(self, answers: Sequence[Any]) -> Tensor:
        return torch.tensor([-1 if name is None else self.names.index(name) for name in answers])

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        each = F.cross_entropy(logits, target.clamp_min(0), reduction="none")
        return (each * (target >= 0)).mean()

    def answers(self, logits: Tensor) -> list[str]:
        return [self.names[i] for i in logits.argmax(1).tolist()]

    def right(self, answer: Any, wanted: Any) -> tuple[int, int]:
        return (0, 0) if wanted is None else (int(answer == wanted), 1)


class AllOf(Head):
    """Answered by the names that apply; right are those among the asked ones that it says."""

    def target(self, answers: Sequence[Any]) -> Tensor:
        return torch.tensor([[float(name in said) for name in self.names] for said in answers])

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return each.sum(1).mean()

    def answers(self, logits: Tensor) -> list[frozenset[str]]:
        rows = (logits > 0).tolist()
        return [frozenset(n for n, said in zip(self.names, row, strict=True) if said) for row in rows]

    def right(self, answer: Any, wanted: Any) -> tuple[int, int]:
        return len(answer & wanted), len(wanted)


class Questions(ABC):
    """What the recogniser of a world is asked, and the scenes it learns from."""

    heads: Mapping[str, Head]
    """By what is asked; "kind", "color" and "view" are there in every world."""
    widths: ClassVar[tuple[int, ...]]
    """Channels of the recogniser's levels; pictures have 4 * 2**levels pixels a side."""

    @property
    def size(self) -> int:
        """Of the pictures that the recogniser sees, pixels."""
        return int(4 * 2 ** len(self.widths))

    @abstractmethod
    def asked(self, subject: Any, view: str) -> dict[str, Any]:
        """The right answer of every head for a subject seen from a side of VIEW_NAMES; None: not asked."""

    @abstractmethod
    def scenes(self, folder: Path, seed: int, share: float, report: Report) -> TracedViews:
        """Views that no prior is trained on.

        Args:
            folder: may keep them. share: 1 for the recogniser's training, less for its examination.
        """


def view_asked(subject: Subject, view: str) -> str | None:
    """The right answer about the view. A ball has no front: what looks alike all round is only asked whether
    it is seen from above."""
    return view if subject.has_front or view == "overhead" else None


def asked_of(questions: Questions, pictures: Pictures) -> list[dict[str, Any]]:
    """The right answers for each picture."""
    directions = zip(pictures.cameras.azimuth.tolist(), pictures.cameras.elevation.tolist(), strict=True)
    views = ["side" if (view := view_of(a, e)) in ("left", "right") else view for a, e in directions]
    return [questions.asked(s, view) for s, view in zip(pictures.subjects, views, strict=True)]


def shares_right(
    heads: Mapping[str, Head],
    subjects: Sequence[Subject],
    answers: Sequence[Mapping[str, Any]],
    wanted: Sequence[Mapping[str, Any]],
) -> dict[str, float]:
    """The share of right names for every head, 0..1; the view of subjects with a front alone."""
    shares = {}
    for name, head in heads.items():
        counts = [
            head.right(said[name], right[name])
            for subject, said, right in zip(subjects, answers, wanted, strict=True)
            if name != "view" or subject.has_front
        ]
        shares[name] = sum(hit for hit, _ in counts) / max(1, sum(of for _, of in counts))
    return shares
