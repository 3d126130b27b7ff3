"""What the recogniser of the rich world is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from sctd.embedded.data import open_views, trace_blocks
from sctd.embedded.heads import AllOf, OneOf, Questions, view_asked
from sctd.embedded.traced import TracedViews
from sctd.embedded.training import Report
from sctd.embedded.words import VIEW_NAMES
from sctd.embedded.worlds.rich import phrases
from sctd.embedded.worlds.rich.clothes import CLOTHES
from sctd.embedded.worlds.rich.draw import said_of
from sctd.embedded.worlds.rich.hats import HATS
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.materials import STYLES
from sctd.embedded.worlds.rich.props import HELD
from sctd.embedded.worlds.rich.subjects import Subject
from sctd.embedded.worlds.rich.tracing import RichTracing

SUBJECTS = 3_840
TRAITS = tuple(
    f"{what} {name}"
    for what, names in (
        ("style", STYLES),
        ("pose", phrases.POSES),
        ("wears", (*HATS, *CLOTHES)),
        ("holds", HELD),
        ("with", KINDS),
    )
    for name in names
)
"""What a prompt may ask of its main kind beside the colour."""


class RichQuestions(Questions):
    """The main kind, its colour where it is known by name, its traits, and the view."""

    widths: ClassVar = (32, 48, 64, 96, 160)

    def __init__(self) -> None:
        self.heads = {
            "kind": OneOf(tuple(KINDS)),
            "color": OneOf(tuple(phrases.COLORS)),
            "traits": AllOf(TRAITS),
            "view": OneOf(VIEW_NAMES),
        }

    def asked(self, subject: Subject, view: str) -> dict[str, Any]:
        """Of a normal map no colour is asked."""
        thing = subject.thing
        color = thing.color or (KINDS[thing.kind].color if not thing.style else "")
        return {
            "kind": thing.kind,
            "color": color if color and subject.map != "normal" else None,
            "traits": traits(subject),
            "view": view_asked(subject, view),
        }

    def scenes(self, folder: Path, seed: int, share: float, report: Report) -> TracedViews:
        subjects = max(1, round(share * SUBJECTS))
        tracing = RichTracing(min(subjects, 64), mapped=0)
        trace_blocks(tracing, folder, -(-subjects // 64), seed, report, self.size)
        return open_views(tracing, folder)


def traits(subject: Subject) -> frozenset[str]:
    """Names of TRAITS that a subject has, those of a costume's garments among them."""
    own = {f"{what} {name}" for what, name in said_of(subject.thing) if name and what != "color"}
    return frozenset(own if subject.other is None else {*own, f"with {subject.other.kind}"})


QUESTIONS = RichQuestions()
