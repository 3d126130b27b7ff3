"""The graph of sctd's imports, read from the source: types and imports inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "sctd"

Graph = Mapping[str, set[str]]
"""Module => the modules of this package that it imports."""


def modules() -> dict[str, Path]:
    """Dotted name => file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def graph() -> Graph:
    """Of all modules. ``from package import module`` counts as an import of the module."""
    files = modules()
    return {name: set(_imports(name, path, files)) for name, path in files.items()}


def _imports(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = [module if module in files else node.module for module in full]
        else:
            continue
        yield from (module for module in wanted if module in files and module != name)


def circle(of: Graph) -> list[str]:
    """The modules of a circle, in order; empty where there is none."""
    try:
        TopologicalSorter(of).prepare()
    except CycleError as exc:
        return list(exc.args[1])
    return []


BACK = (("embedded", "evaluate"),)
"""Arrows between rooms that run back up, (from, to); docs/architecture.md gives the reasons."""


def rooms() -> dict[str, set[str]]:
    """Folder of sctd, or file at its top => those that it imports, without itself.

    The package's own __init__ is left out: it loads each public name at its first use.
    """
    found: dict[str, set[str]] = {}
    for module, imported in graph().items():
        if module != "sctd":
            wanted = {name.split(".")[1] for name in imported if name != "sctd"}
            found.setdefault(module.split(".")[1], set()).update(wanted - {module.split(".")[1]})
    return found


def layers() -> list[list[str]]:
    """Rooms by the longest way down, the lowest first: a room imports from layers below its own alone."""
    left = {room: {other for other in below if (room, other) not in BACK} for room, below in rooms().items()}
    found: list[list[str]] = []
    while left:
        ready = sorted(room for room, below in left.items() if not below & left.keys())
        assert ready, f"rooms in a circle: {', '.join(sorted(left))}"
        found.append(ready)
        for room in ready:
            del left[room]
    return found


if __name__ == "__main__":
    for number, names in reversed(list(enumerate(layers()))):
        print(f"    {number}  {'  '.join(names)}")
