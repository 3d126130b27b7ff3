"""The .ply container: its header, and the rows of its vertices.

The reader checks the names, types and counts of the header against the file's length before it allocates
memory, so that a kilobyte which declares a billion rows costs nothing. It maps rows of numbers directly;
plyfile reads text and rows with lists.

Source: Turk 1994, "The PLY Polygon File Format".
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError

_LONGEST_HEADER = 1 << 20
_START = re.compile(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\n|\r)")
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float": "f4",
    "double": "f8",
    "float32": "f4",
    "float64": "f8",
}


@dataclass(frozen=True)
class Property:
    """A named number of each row, or a list of numbers."""

    name: str
    kind: str
    """In numpy's notation, without the byte order: f4, u1, ..."""
    length: str | None = None
    """Type of a list's length; None: not a list."""


@dataclass(frozen=True)
class Element:
    """A table of the file."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.properties)

    @property
    def has_lists(self) -> bool:
        return any(p.length for p in self.properties)

    def row_bytes(self, text: bool) -> int:
        """Bytes of a row; of the shortest possible one in text or with lists."""
        if text:
            return max(1, 2 * len(self.properties))
        return sum(np.dtype(p.length or p.kind).itemsize for p in self.properties)


@dataclass(frozen=True)
class Header:
    """The header of a .ply."""

    path: Path
    order: str
    """Byte order, < or >; empty for text."""
    comments: tuple[str, ...]
    elements: tuple[Element, ...]
    start: int
    """Offset of the rows, bytes from the file's beginning."""
    length: int
    """Length of the whole file, bytes."""

    @property
    def vertex(self) -> Element:
        return next(e for e in self.elements if e.name == "vertex")

    def count(self, name: str) -> int:
        """Rows of an element; 0 where there is none."""
        return sum(e.count for e in self.elements if e.name == name)

    def unread(self) -> list[str]:
        """Elements with rows beside the vertices."""
        return [e.name for e in self.elements if e.name != "vertex" and e.count]


def read_header(path: Path) -> Header:
    """The header of any .ply with vertices; nothing else is loaded.

    Raises:
        InputError: the file cannot be read, is no .ply, is cut off, or has no vertices.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            begin = stream.read(_LONGEST_HEADER)
            length = stream.seek(0, io.SEEK_END)
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    start = _START.match(begin)
    if start is None:
        raise _damaged(path, "it does not begin with 'ply'" if begin else "it is empty")
    # If lines end with only a carriage return, a line feed after the last one is the first byte of the rows.
    newline = rb"\r" if start[1] == b"\r" else rb"\r?\n"
    end = re.compile(rb"[\r\n]end_header[ \t]*" + newline).search(begin, start.end() - 1)
    if end is None:
        raise _damaged(path, "its header has no end (end_header)")
    text = begin[start.end() : end.start()].decode("utf-8", "backslashreplace")
    order, comments, elements = _parse(path, re.split(r"\r\n|\n|\r", text))
    header = Header(path, order, comments, elements, end.end(), length)
    _check(header)
    return header


def _parse(path: Path, lines: Iterable[str]) -> tuple[str, tuple[str, ...], tuple[Element, ...]]:
    order: str | None = None
    comments: list[str] = []
    elements: list[Element] = []
    for line in lines:
        match line.split():
            case []:
                pass
            case ["comment" | "obj_info", *_]:
                comments.append(line.strip().partition(" ")[2].strip())
            case ["format", form, "1.0"] if form in _ORDERS:
                order = _ORDERS[form]
            case ["element", name, count] if count.isascii() and count.isdigit():
                elements.append(Element(name, int(count), ()))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= _TYPES.keys():
                elements[-1] = _with(path, elements[-1], Property(name, _TYPES[kind], _TYPES[length]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1] = _with(path, elements[-1], Property(name, _TYPES[kind]))
            case _:
                raise _damaged(path, f"the line {line.strip()[:60]!r} of its header is not understood")
    if order is None:
        raise _damaged(path, "its header names no format (ascii, binary_little_endian, binary_big_endian)")
    return order, tuple(comments), tuple(elements)


def _with(path: Path, element: Element, new: Property) -> Element:
    if new.name in element.names:
        raise _damaged(path, f"its element {element.name!r} has two properties {new.name!r}")
    return Element(element.name, element.count, (*element.properties, new))


def _check(header: Header) -> None:
    """Check the counts against the length of the file."""
    path, names = header.path, [e.name for e in header.elements]
    for name in names:
        if names.count(name) > 1:
            raise _damaged(path, f"it has two elements {name!r}")
    if "vertex" not in names:
        raise _damaged(path, "it has no vertices (element vertex)")
    if not header.vertex.properties:
        raise _damaged(path, "its vertices have no properties")
    there = header.length - header.start + (header.order == "")  # the last line of a text may lack its end
    needed = sum(e.count * e.row_bytes(header.order == "") for e in header.elements)
    if needed > there:
        declared = ", ".join(f"{e.count} of {e.name!r}" for e in header.elements)
        raise _damaged(
            path, f"it is cut off: {declared} take at least {needed} bytes, {max(0, there)} follow its header"
        )


def read_vertices(header: Header) -> NDArray[np.void]:
    """The rows of the element "vertex", a structured array with the file's names and types.

    Raises:
        InputError: the file cannot be read, or its rows do not match its header.
    """
    path, wanted = header.path, header.elements[: header.elements.index(header.vertex) + 1]
    try:
        with path.open("rb") as stream:
            if header.order and not any(e.has_lists for e in wanted):
                layout = np.dtype([(p.name, header.order + p.kind) for p in wanted[-1].properties])
                skipped = sum(e.count * e.row_bytes(False) for e in wanted[:-1])
                return np.fromfile(stream, layout, wanted[-1].count, offset=header.start + skipped)
            stream.seek(header.start)
            return _by_plyfile(path, _plain(header.order, wanted) + stream.read())
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc


def _plain(order: str, elements: Iterable[Element]) -> bytes:
    """A plain ASCII header of these elements, which every reader accepts."""
    form = next(name for name, o in _ORDERS.items() if o == order)
    names = {kind: name for name, kind in reversed(_TYPES.items())}
    lines = ["ply", f"format {form} 1.0"]
    for i, element in enumerate(elements):
        lines.append(f"element {'vertex' if element.name == 'vertex' else f'e{i}'} {element.count}")
        for j, p in enumerate(element.properties):
            listed = f"list {names[p.length]} " if p.length else ""
            lines.append(f"property {listed}{names[p.kind]} {p.name if p.name.isascii() else f'p{j}'}")
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _by_plyfile(path: Path, content: bytes) -> NDArray[np.void]:
    import plyfile

    try:
        with np.errstate(over="ignore"):  # 1e300 becomes infinite, which its user reports
            rows: NDArray[np.void] = plyfile.PlyData.read(io.BytesIO(content), mmap=False)["vertex"].data
    except (plyfile.PlyParseError, ValueError, OverflowError, UnicodeDecodeError) as exc:
        raise _damaged(path, " ".join(str(exc).split())[:200]) from exc
    return rows


def surplus(header: Header) -> str | None:
    """The data after the last declared row, in words; None: no data, or unknown because of lists."""
    if header.order:
        if any(e.has_lists for e in header.elements):
            return None
        extra = header.length - header.start - sum(e.count * e.row_bytes(False) for e in header.elements)
        return f"{extra} bytes" if extra else None
    with header.path.open("rb") as stream:
        stream.seek(header.start)
        extra = sum(bool(line.strip()) for line in stream) - sum(e.count for e in header.elements)
    return f"{extra} lines" if extra > 0 else None


def columns(
    header: Header, rows: NDArray[np.void], names: tuple[str, ...], dtype: type[np.floating[Any]] = np.float32
) -> NDArray[Any]:
    """Existing properties, [N, len(names)]; a number too large for ``dtype`` becomes infinite.

    Raises:
        InputError: one is a list.
    """
    out = np.empty((len(rows), len(names)), dtype)
    for i, name in enumerate(names):
        if rows.dtype[name].kind not in "fiu":
            raise InputError(f"cannot use {header.path}: property {name!r} is a list, not a number")
        with np.errstate(over="ignore"):
            out[:, i] = rows[name]
    return out


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged or not a .ply file: {why}")
