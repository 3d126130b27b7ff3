"""Reads YAML and JSON of people, and refuses repeated keys, of which the usual loaders keep the last."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast, where it was built


class GivenTwice(ValueError):
    """A mapping repeats a key; the message names it and, in YAML, the lines."""


class _Loader(_Base):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Build the mapping, unless it repeats a key."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in lines:
                at = key.start_mark.line + 1
                raise GivenTwice(f"line {at}: {key.value!r} is given twice, first in line {lines[key.value]}")
            lines[key.value] = key.start_mark.line + 1
        return dict(super().construct_mapping(node, deep))


def read_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        GivenTwice: a mapping repeats a key.
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, _Loader)


def read_json(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        GivenTwice: an object repeats a key.
        ValueError: it is no JSON.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise GivenTwice(f"{key!r} is given twice")
        found[key] = value
    return found
