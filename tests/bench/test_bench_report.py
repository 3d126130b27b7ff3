"""The report file: whole, checked, and the same after reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sctd.bench import report
from sctd.bench.machine import commit, facts
from sctd.bench.report import Row
from sctd.bench.table import number
from sctd.errors import InputError

MakeRow = Callable[..., Row]


def test_a_report_comes_back_as_it_was(make_row: MakeRow, tmp_path: Path) -> None:
    rows = [
        make_row(machine=facts(), values={"pairs": 3.5, "none": None}),
        make_row([], status="wrong", note="image error 1, at most 0"),
    ]
    report.save(rows, tmp_path / "a.json")
    assert report.load(tmp_path / "a.json") == rows
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file(
    make_row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    report.save([make_row()], path)
    before = path.read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        report.save([make_row([9.0])], path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is no JSON file"),
        ('{"schema_version": 99, "rows": []}', "has schema 99"),
        ('{"rows": [{"suite": "raster"}]}', "rows.0.cell"),
        ("[]", "is no report"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        report.load(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot read"):
        report.load(tmp_path / "missing.json")


def test_what_is_wrong_has_no_time(make_row: MakeRow) -> None:
    with pytest.raises(ValueError, match="not timed"):
        make_row([1.0], status="wrong")


def test_a_row_says_where_it_was_measured(tmp_path: Path) -> None:
    found = facts()
    assert set(found) >= {
        *("cpu", "cores", "usable_cores", "python", "torch", "sctd", "commit", "compiler", "isa"),
        *("native_threads", "torch_threads", "date"),
    }
    assert all(found[name] for name in ("cpu", "isa", "date"))
    json.dumps(found)
    assert commit(tmp_path) == "unknown"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.5, "1234"), (12.345, "12.3"), (0.5, "0.500"), (0.00772, "0.00772"), (None, "-")],
)
def test_numbers_keep_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text
    assert number(1.5e7) == "1.50e+07"
