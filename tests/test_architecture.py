"""The house: nothing imports in a circle, and the page of the architecture says what the imports say."""

from __future__ import annotations

from imports import circle, graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(graph()) == []


def test_a_circle_would_be_found() -> None:
    with_one = {name: set(imported) for name, imported in graph().items()}
    with_one["sctd.errors"].add("sctd.trainer")
    assert {"sctd.errors", "sctd.trainer"} <= set(circle(with_one))
