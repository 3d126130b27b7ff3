"""YAML and JSON that people write: a key that is given twice is refused, where the loaders keep the last."""

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
    """A key stands twice in one mapping; the message names it and, in YAML, the lines."""


class _Loader(_Base):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """As always, once no key is found twice."""
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
    """What a YAML text says.

    Raises:
        GivenTwice: a mapping has a key twice.
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, _Loader)


def read_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        GivenTwice: an object has a key twice.
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
