"""The house: nothing imports in a circle, and the page of the architecture says what the imports say."""

from __future__ import annotations

import re
from pathlib import Path

from imports import BACK, circle, graph, layers, rooms


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(graph()) == []


def test_a_circle_would_be_found() -> None:
    with_one = {name: set(imported) for name, imported in graph().items()}
    with_one["sctd.errors"].add("sctd.trainer")
    assert {"sctd.errors", "sctd.trainer"} <= set(circle(with_one))


def test_the_page_has_the_layers_that_the_imports_have(repository: Path) -> None:
    """On a difference: python tests/support/imports.py prints what belongs there."""
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^ +(\d+)  (.+)$", page, re.M)
    assert [names.split() for _, names in reversed(lines)] == layers()
    assert [int(number) for number, _ in lines] == list(range(len(lines)))[::-1]


def test_two_arrows_run_back_up_and_no_more() -> None:
    assert len(BACK) <= 2
    for room, above in BACK:
        assert above in rooms()[room], f"{room} no longer imports {above}: take the arrow out"


def test_the_page_names_files_and_folders_that_exist(repository: Path) -> None:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`((?:sctd|cli|csrc|docs|tests|benchmarks)/[\w/.]*)`", page)):
        assert (repository / name).exists(), name


def test_the_map_of_the_readme_names_what_is_there(repository: Path) -> None:
    """Steps and rooms of the picture of one iteration."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    picture = text.split("One iteration, file by file", 1)[1].split("\n\n", 2)[1]
    names = set(re.findall(r"\b[a-z_/]+(?:\.py|/)(?=[\s,])", picture))
    assert len(names) >= 8
    for name in names - {"csrc/"}:
        assert (repository / "sctd" / name).exists(), name
