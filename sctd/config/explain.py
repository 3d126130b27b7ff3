"""Describes an invalid tree of settings in one line for people."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError


def explain(exc: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a tree of settings in one line, with the number of further ones.

    Args:
        model: the model that checked the tree.
    """
    problems = exc.errors(include_url=False)
    first = problems[0]
    keys = [str(part) for part in first["loc"]]
    dotted, kind, given = ".".join(keys), first["type"], first.get("input")
    if kind == "extra_forbidden":
        line = _unknown(keys, model)
    elif kind == "missing":
        line = f"setting {dotted!r} is missing"
    elif kind == "value_error":
        where = f"setting {dotted!r}: " if dotted else ""
        line = where + str(first["msg"]).removeprefix("Value error, ")
    elif kind == "string_pattern_mismatch":
        allowed = _section(keys, model).model_fields[keys[-1]].description
        line = f"setting {dotted!r} must be {allowed}; got {_shorten(given)}"
    else:
        reason = str(first["msg"]).replace("Input should", "must").replace("String should", "must")
        line = f"setting {dotted!r} {reason}; got {_shorten(given)}"
    more = len(problems) - 1
    return line + (f" (and {more} more problem{'s' if more > 1 else ''})" if more else "")


def _section(keys: Sequence[str], model: Any) -> type[BaseModel]:
    """The model that holds the setting ``keys``."""
    for key in keys[:-1]:
        model = get_args(model)[0] if key.isdigit() else model.model_fields[key].annotation
    return cast("type[BaseModel]", model)


def _unknown(keys: list[str], model: type[BaseModel]) -> str:
    known = list(_section(keys, model).model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1)
    section = ".".join(keys[:-1])
    guess = f"did you mean {'.'.join([*keys[:-1], close[0]])!r}? " if close else ""
    where = f" in {section}" if section else ""
    return f"unknown setting {'.'.join(keys)!r}; {guess}known{where}: {', '.join(known)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
