"""glTF accessors => numpy arrays: strided, normalised, sparse.

Source: glTF 2.0 specification, sections 3.6.2 and 3.11 (how integers become numbers).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.gltf_extensions import instead
from sctd.formats.gltf_file import Document, Json, whole

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}

MOST_IMPLIED = 1 << 22
"""Limit of elements without bytes, which are zeros: their count alone takes no space in the file."""


def numbers(
    document: Document, index: Any, widths: tuple[int, ...], *, color: bool = False
) -> NDArray[np.float64]:
    """Float64 [count, width], integers that are normalised as 0..1 or -1..1.

    Args:
        widths: the allowed widths of the values.
        color: integers must be normalised.

    Raises:
        InputError: the accessor is missing, damaged, of another width, or longer than its bytes.
    """
    stored = _stored(document, index)
    if stored.shape[1] not in widths:
        raise InputError(
            f"accessors[{index}] has {stored.shape[1]} values an element, not {' or '.join(map(str, widths))}"
        )
    if stored.dtype.kind == "f":
        return stored.astype(np.float64)
    if document.item("accessors", index).get("normalized") is True:
        top = float(np.iinfo(stored.dtype).max)
        return np.maximum(stored.astype(np.float64) / top, -1.0)
    if color:
        raise InputError(
            f"accessors[{index}] holds colours as {stored.dtype.name} without normalized: true; "
            "export it again, for their strength is not told"
        )
    return stored.astype(np.float64)


def indices(document: Document, index: Any, width: int = 1) -> NDArray[np.int64]:
    """Int64 [count, width].

    Raises:
        InputError: as :func:`numbers`, or the values are no unsigned integers.
    """
    stored = _stored(document, index)
    if stored.dtype.kind != "u" or stored.shape[1] != width:
        kind = document.item("accessors", index).get("type")
        raise InputError(f"accessors[{index}] is {kind} of {stored.dtype.name} and cannot be an index")
    return stored.astype(np.int64)


def has_bytes(document: Document, index: Any) -> bool:
    """Whether anything is stored for an accessor, or all is zero."""
    accessor = document.item("accessors", index)
    return "bufferView" in accessor or "sparse" in accessor


def _stored(document: Document, index: Any) -> NDArray[Any]:
    """[count, width] in the stored type, sparse values in place."""
    accessor = document.item("accessors", index)
    width = _WIDTHS.get(accessor.get("type", ""))
    component = accessor.get("componentType")
    if width is None or component not in _TYPES:
        raise InputError(
            f"accessors[{index}] is {accessor.get('type')} of componentType {component}; "
            f"read are {', '.join(_WIDTHS)} of {', '.join(map(str, _TYPES))}"
        )
    count, dtype = whole(accessor, "count", None), np.dtype(_TYPES[component])
    try:
        if "bufferView" in accessor:
            base: NDArray[Any] = _block(document, accessor, dtype, count, width)
        elif count > MOST_IMPLIED:
            raise InputError(f"has no bufferView and {count} elements; at most {MOST_IMPLIED} are read")
        else:
            base = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            base = _with_sparse(document, accessor["sparse"], base)
    except InputError as exc:
        raise InputError(f"accessors[{index}]: {exc}") from exc
    return base


def _with_sparse(document: Document, sparse: Json, base: NDArray[Any]) -> NDArray[Any]:
    count = whole(sparse, "count", None)
    where = sparse["indices"]
    kind = where.get("componentType")
    if kind not in (5121, 5123, 5125):
        raise InputError(f"sparse.indices has componentType {kind}; 5121, 5123 and 5125 are possible")
    rows = _block(document, where, np.dtype(_TYPES[kind]), count, 1)[:, 0].astype(np.int64)
    values = _block(document, sparse["values"], base.dtype, count, base.shape[1])
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(base):
        raise InputError(f"sparse names element {rows.max()} of {len(base)}; the file is damaged")
    changed: NDArray[Any] = base.copy()
    changed[rows] = values
    return changed


def _block(document: Document, item: Json, dtype: np.dtype[Any], count: int, width: int) -> NDArray[Any]:
    """[count, width] of a bufferView, without a copy; checks its length before it allocates memory."""
    view = document.item("bufferViews", item.get("bufferView"))
    data = document.view(item.get("bufferView"))
    offset = whole(item, "byteOffset", 0)
    size = dtype.itemsize * width
    stride = whole(view, "byteStride", size) or size
    if stride < size:
        raise InputError(
            f"byteStride is {stride}, less than the {size} bytes of an element; the file is damaged"
        )
    needed = offset + (count - 1) * stride + size if count else offset
    if needed > len(data):
        raise InputError(
            f"{count} elements need {needed} bytes, and its bufferView has {len(data)}; the file is damaged"
        )
    if not count:
        return np.zeros((0, width), dtype)
    block: NDArray[Any] = np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))
    return block


def need_draco(document: Document, primitive: Json) -> None:
    """Refuse a primitive whose vertices are stored only by Draco.

    Raises:
        InputError: it is.
    """
    name = "KHR_draco_mesh_compression"
    position = primitive.get("attributes", {}).get("POSITION")
    if name in primitive.get("extensions", {}) and position is not None and not has_bytes(document, position):
        raise InputError(f"its vertices are stored by {name} alone; {instead(name)}")
