"""Pages of docs/: ``pages/NAME.py`` turns the numbers of docs/NAME.json into the Markdown of docs/NAME.md.

A benchmark measures and writes the numbers; given ``--page docs/NAME.md`` it writes the page too, the numbers
beside it. ``python -m benchmarks.pages NAME`` writes a page anew from its numbers, without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sctd.files import whole_file

Results = dict[str, Any]
"""Results of a benchmark, as in JSON."""


def save(page: Path, results: Results, markdown: Callable[[Results], str]) -> None:
    """Write the numbers as JSON and the page made of them beside it, each file whole or not at all."""
    numbers = json.dumps(results, indent=1) + "\n"
    for path, text in ((page.with_suffix(".json"), numbers), (page, markdown(json.loads(numbers)))):
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def header(*names: str) -> list[str]:
    """The two lines that a Markdown table begins with."""
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]


def pictures_of(page: Path) -> Path:
    """The folder of a page's pictures, made where there is none."""
    folder = page.parent / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
