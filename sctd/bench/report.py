"""Rows of measurements, the JSON file that stores them, and the rules that they obey."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sctd.errors import InputError, SctdError
from sctd.files import whole_file

SCHEMA: Literal[1] = 1
"""Rises when a row's fields change their meaning."""

DeviceClass = Literal["cpu", "simulated", "gpu"]
Setting = str | int | float | bool | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Row(_Strict):
    """One measurement of one contender.

    Times are milliseconds for each thing that the suite counts (an image, a call, a step, a run), one entry
    a repeat. Rows that agree in :attr:`key` can be compared.
    """

    suite: str
    cell: str
    measure: str
    provider: str
    version: str
    device_class: DeviceClass
    settings: dict[str, Setting]
    """The person's choices on which the number depends: backend, threads, cameras, cache, steps."""
    machine: dict[str, Any]
    """See :func:`sctd.bench.machine.facts`."""
    status: Literal["ok", "wrong", "failed", "skipped"] = "ok"
    """"wrong": it did not agree with float64 and was not timed; "failed": it could not run."""
    note: str = ""
    """Why the status is not ok."""
    wall_ms: list[float] = Field(default_factory=list)
    cpu_ms: list[float] = Field(default_factory=list)
    """CPU time of all threads of the process itself."""
    values: dict[str, float | None] = Field(default_factory=dict)
    """Derived and counted numbers by name; the suites say which."""

    @model_validator(mode="after")
    def _no_time_where_none_can_be(self) -> Row:
        if (self.device_class == "simulated" or self.status != "ok") and (self.wall_ms or self.cpu_ms):
            raise ValueError(
                "emulated kernels have counts and no times, and what did not run right is not timed"
            )
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the same measurement in another file."""
        chosen = " ".join(f"{name}={value}" for name, value in sorted(self.settings.items()))
        return (self.suite, self.cell, self.measure, self.provider, chosen)


class Report(_Strict):
    """The content of a file."""

    schema_version: Literal[1] = SCHEMA
    rows: list[Row]


def device_class(rows: Sequence[Row]) -> DeviceClass:
    """The one class of all rows.

    Raises:
        InputError: there are several: times of a CPU, counts of the emulation and times of a GPU say nothing
            about each other, and never stand in one table, plot, file or comparison.
    """
    classes = sorted({row.device_class for row in rows})
    if len(classes) != 1:
        raise InputError(
            f"rows of different device classes are never mixed; got {', '.join(classes) or 'no rows at all'}"
        )
    return classes[0]


def save(rows: Sequence[Row], path: Path) -> None:
    """Write a report, whole or not at all."""
    device_class(rows)
    text = json.dumps(Report(rows=list(rows)).model_dump(), indent=1, allow_nan=False)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> list[Row]:
    """Read a report.

    Raises:
        InputError: no such file, or not a report of this schema; the message says which.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise InputError(f"{path} is no JSON file; give one that `sctd bench ... --json` wrote") from exc
    if isinstance(content, dict) and content.get("schema_version", SCHEMA) != SCHEMA:
        raise InputError(
            f"{path} has schema {content['schema_version']!r}, this version reads {SCHEMA}; measure again"
        )
    try:
        return Report.model_validate(content).rows
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path} is no report of `sctd bench`: {where}: {first['msg']}; measure again with --json"
        ) from exc


def refuse_wrong(rows: Sequence[Row]) -> None:
    """End the command when a contender was wrong.

    Raises:
        SctdError: names the first such row.
    """
    wrong = [row for row in rows if row.status == "wrong"]
    if wrong:
        row = wrong[0]
        more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise SctdError(f"{row.provider} is wrong and was not timed in {row.cell}: {row.note}{more}")
