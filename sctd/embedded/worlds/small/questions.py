"""What the recogniser of the small world is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from sctd.embedded.heads import OneOf, Questions, view_asked
from sctd.embedded.training import Report
from sctd.embedded.words import VIEW_NAMES
from sctd.embedded.worlds.small.pictures import COLOR_NAMES, KIND_NAMES, PATTERN_NAMES, Views, random_views
from sctd.embedded.worlds.small.words import Subject

PER_KIND = 300


class SmallQuestions(Questions):
    """Kind, colour, pattern and view."""

    widths: ClassVar = (32, 64, 96, 128)

    def __init__(self) -> None:
        names = {"kind": KIND_NAMES, "color": COLOR_NAMES, "pattern": PATTERN_NAMES, "view": VIEW_NAMES}
        self.heads = {name: OneOf(answers) for name, answers in names.items()}

    def asked(self, subject: Subject, view: str) -> dict[str, Any]:
        seen = view_asked(subject, view)
        return {"kind": subject.kind, "color": subject.color, "pattern": subject.pattern, "view": seen}

    def scenes(self, folder: Path, seed: int, share: float, report: Report) -> Views:
        del folder, report
        return random_views(seed, max(1, round(share * PER_KIND)), self.size)


QUESTIONS = SmallQuestions()
