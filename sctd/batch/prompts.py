"""A list of prompts as a .txt, .jsonl or .csv file => the assets to make. Loads no torch.

.txt has a prompt a line; .jsonl an object a line; .csv a header with the keys. The key prompt is required;
optional are name, seed, method, preset, and any setting by its dotted name, such as cameras.batch. Readers
skip empty lines, in a .txt also lines that begin with #.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sctd import preflight
from sctd.batch.entry import Entry
from sctd.batch.store import is_url, read_bytes
from sctd.config import Config, config_of, differences, load_tree
from sctd.errors import InputError
from sctd.names import slug
from sctd.texts import GivenTwice, read_json

TEXTS = ("prompt", "negative_prompt", "name", "method", "preset")
"""Keys whose value is a text, not YAML."""
OF_THE_BATCH = ("prior", "device", "dtype", "threads")
"""Settings that are the same for all assets, because they share the prior and the process."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class BadLines(InputError):
    """Lines that cannot be used."""

    def __init__(self, path: str | Path, problems: Sequence[str]) -> None:
        """Takes one text for each problem, with its place and the allowed values."""
        count = f"{len(problems)} line{'s' if len(problems) > 1 else ''}"
        super().__init__(f"{path}: {count} cannot be used, nothing was started; correct or remove them")
        self.problems = list(problems)


@dataclass(frozen=True)
class Defaults:
    """The settings of every asset, unless its line overrides them; see :func:`.load_config`."""

    preset: str | None = None
    file: Path | None = None
    overrides: Sequence[str] = ()
    card: str | None = None
    direct: Mapping[str, Any] = field(default_factory=dict)
    _trees: dict[str | None, dict[str, Any]] = field(default_factory=dict, init=False, compare=False)
    """Contents of the files, by preset: read once, not once a line."""

    def config(
        self, prompt: str, preset: str | None = None, overrides: Mapping[str, str] | None = None
    ) -> Config:
        """The settings of an asset.

        Args:
            overrides: settings of its line, each value as YAML.

        Raises:
            InputError: a setting is unknown or its value not allowed.
        """
        own, preset = overrides or {}, preset or self.preset
        if preset not in self._trees:
            self._trees[preset] = load_tree(preset, self.file, self.overrides, card=self.card)
        direct = {key: value for key, value in self.direct.items() if value is not None and key not in own}
        written = [f"{key}={value}" for key, value in own.items()]
        return config_of(self._trees[preset], written, {"prompt": prompt, **direct})


@dataclass(frozen=True)
class _Row:
    line: int
    values: dict[str, Any]


class _Bad(Exception):
    """A line that cannot be read; args: its number, the reason."""


def read_prompts(path: str | Path, defaults: Defaults) -> list[Entry]:
    """The assets of a list, in its order; the list is a file, or a URL that fsspec supports.

    Raises:
        BadLines: some lines cannot be used; all of them are named.
        InputError: the file cannot be read or is empty, or the defaults are invalid.
    """
    base = defaults.config("any")
    preflight.check_settings(base)
    preflight.check_prior(base.prior)
    problems: dict[int, str] = {}
    found: list[tuple[int, str | None, Config]] = []
    for row in _rows(path):
        if isinstance(row, _Bad):
            problems[row.args[0]] = row.args[1]
            continue
        try:
            found.append((row.line, _name(row.values), _config(row.values, base, defaults)))
        except InputError as exc:
            problems[row.line] = str(exc)
    entries = _named(found, problems)
    if problems:
        raise BadLines(path, [f"{path}:{line}: {problems[line]}" for line in sorted(problems)])
    if not entries:
        raise InputError(f"{path} holds no prompt; write one a line")
    return entries


def _rows(path: str | Path) -> Iterator[_Row | _Bad]:
    readers = {".txt": _txt, ".jsonl": _jsonl, ".csv": _csv}
    plain = str(path).partition("?")[0] if is_url(path) else str(path)
    suffix = PurePosixPath(plain).suffix.lower()
    if suffix not in readers:
        raise InputError(f"cannot read prompts from {path}: its name must end in {', '.join(readers)}")
    return readers[suffix](read_bytes(path).removeprefix(b"\xef\xbb\xbf"))


def _lines(data: bytes) -> Iterator[tuple[int, str] | _Bad]:
    """Lines that are not blank, with their numbers."""
    for number, line in enumerate(data.splitlines(), 1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as exc:
            yield _Bad(number, f"byte {exc.start + 1} is not UTF-8; save the file as UTF-8")
            continue
        if text:
            yield number, text


def _txt(data: bytes) -> Iterator[_Row | _Bad]:
    for item in _lines(data):
        if isinstance(item, _Bad):
            yield item
        elif not item[1].startswith("#"):
            yield _Row(item[0], {"prompt": item[1]})


def _jsonl(data: bytes) -> Iterator[_Row | _Bad]:
    for item in _lines(data):
        if isinstance(item, _Bad):
            yield item
            continue
        number, text = item
        try:
            values = read_json(text)
        except GivenTwice as exc:
            yield _Bad(number, f"{exc}; leave one of them out")
            continue
        except ValueError as exc:
            yield _Bad(number, f'not JSON ({exc}); write {{"prompt": "a red mushroom", "seed": 1}}')
            continue
        if isinstance(values, dict):
            yield _Row(number, values)
        else:
            yield _Bad(number, 'not a JSON object; write {"prompt": "a red mushroom", "seed": 1}')


def _csv(data: bytes) -> Iterator[_Row | _Bad]:
    try:
        lines = data.decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as exc:
        yield _Bad(data[: exc.start].count(b"\n") + 1, "not UTF-8; save the file as UTF-8")
        return
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            yield _Bad(reader.line_num, f"not CSV ({exc}); put text with commas or quotes in double quotes")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if "prompt" not in header or len(set(header)) < len(header) or not all(header):
                wanted = "different keys, one of them prompt, for example: prompt,seed,cameras.batch"
                yield _Bad(reader.line_num, f"the header must have {wanted}; got {','.join(header)}")
                return
        elif len(cells) != len(header):
            yield _Bad(reader.line_num, f"{len(cells)} cells, the header has {len(header)}")
        else:
            pairs = zip(header, cells, strict=True)
            yield _Row(reader.line_num, {key: _Cell(cell.strip()) for key, cell in pairs if cell.strip()})


class _Cell(str):
    """A value of a .csv, which is YAML unless it is a text."""


def _name(values: Mapping[str, Any]) -> str | None:
    name = values.get("name")
    if name is None:
        return None
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower().startswith("manifest."):
        raise InputError(
            f"name {name!r} cannot be a folder's; use 1 to 100 letters, digits, '.', '_' and '-', "
            "the first a letter or digit"
        )
    return str(name)


def _config(values: Mapping[str, Any], base: Config, defaults: Defaults) -> Config:
    for key in ("prompt", "preset", "method"):
        if not isinstance(values.get(key, ""), str):
            raise InputError(f"{key} must be a text; got {values[key]!r}")
    if not str(values.get("prompt", "")).strip():
        raise InputError("the prompt is missing")
    own = {key: _yaml(key, value) for key, value in values.items() if key not in ("prompt", "name", "preset")}
    preset = values.get("preset")
    config = defaults.config(str(values["prompt"]), None if preset is None else str(preset), own)
    shared = [key for key in differences(base, config) if key.split(".")[0] in OF_THE_BATCH]
    if shared:
        raise InputError(f"{', '.join(shared)}: the same for all assets of a batch; leave it out here")
    preflight.check_config(config, prior_is_loaded=True)
    preflight.check_shown(config)
    preflight.check_prompt(config.prompt, config.prior)
    return config


def _yaml(key: str, value: Any) -> str:
    """A value as YAML, which includes JSON."""
    if isinstance(value, _Cell) and key not in TEXTS:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _named(found: Sequence[tuple[int, str | None, Config]], problems: dict[int, str]) -> list[Entry]:
    """Give each asset its name; a name that cannot be used becomes a problem."""
    taken: dict[str, int] = {}  # a file system may ignore the case of letters
    for line, name, _ in found:
        if name is not None and taken.setdefault(name.casefold(), line) != line:
            problems[line] = f"name {name!r} is that of line {taken[name.casefold()]} too; give another one"
    same: dict[str, int] = {}
    entries = []
    for line, name, config in found:
        if name is None:
            first = same.setdefault(config.model_dump_json(), line)
            if first != line:
                problems[line] = f"the same asset as line {first}; give another seed, or a name"
                continue
            name = _free(f"{slug(config.prompt)}-seed{config.seed}", taken)
            taken[name] = line
        entries.append(Entry(name, config))
    return entries


def _free(name: str, taken: Mapping[str, int]) -> str:
    """The name, with a number appended when it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
