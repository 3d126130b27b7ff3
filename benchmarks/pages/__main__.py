"""Writes pages of docs/ anew from their numbers, without measuring.

python -m benchmarks.pages NAME ...
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = {"embedded_prior": ROOT / "sctd" / "embedded" / "weights" / "card.json"}
"""Numbers that are not docs/NAME.json."""


def page_of(name: str) -> str:
    """The Markdown of docs/NAME.md, from its numbers."""
    numbers = ELSEWHERE.get(name, DOCS / f"{name}.json")
    results = json.loads(numbers.read_text(encoding="utf-8"))
    text: str = import_module(f"benchmarks.pages.{name}").markdown(results)
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        (DOCS / f"{name}.md").write_text(page_of(name), encoding="utf-8")
