"""What the recogniser names in pictures of one subject, against what the prompt asks for."""

from __future__ import annotations

from torch import Tensor

from sctd.embedded.recogniser import Recogniser, Verdict, recognise
from sctd.embedded.subject import Subject


class Named:
    """Names that the recogniser gives pictures [n, 3, H, W], 0..1, of a subject of its world.

    The view is not judged. What the prompt leaves open (a colour without a name, traits in a world that has
    none) is not asked, and counts neither as right nor as wrong.
    """

    def __init__(self, subject: Subject, images: Tensor, recogniser: Recogniser) -> None:
        self._heads = recogniser.questions.heads
        self._asked = recogniser.questions.asked(subject, "front")
        self._verdicts = recognise(images, recogniser)

    def asks(self, head: str) -> bool:
        """Whether the prompt says what a head of one name is to answer."""
        return self._asked[head] is not None

    def names(self, head: str) -> tuple[str, ...]:
        """What a head answers, picture by picture."""
        return tuple(verdict.answers[head] for verdict in self._verdicts)

    def right(self, *heads: str) -> int:
        """Pictures in which every one of these heads gives each name that it is asked for."""
        counts = [[self._right(verdict, head) for head in heads] for verdict in self._verdicts]
        return sum(all(hit == of for hit, of in row) for row in counts)

    def share(self, *heads: str) -> float | None:
        """Of the names that these heads are asked for, over all pictures, 0..1; None: of none."""
        counts = [self._right(verdict, head) for verdict in self._verdicts for head in heads]
        asked = sum(of for _, of in counts)
        return sum(hit for hit, _ in counts) / asked if asked else None

    def _right(self, verdict: Verdict, head: str) -> tuple[int, int]:
        if head not in self._heads:
            return 0, 0
        return self._heads[head].right(verdict.answers[head], self._asked[head])
