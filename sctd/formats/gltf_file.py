"""A .gltf or .glb file => its JSON, and the bytes of its buffers.

This reader uses json and numpy. trimesh 5.2 silently ignores sparse accessors, `normalized`,
`texCoord`, samplers, texture transforms, alphaMode, specular-glossiness, fans, skins and extensionsRequired,
and pygltflib only gives the JSON types: a check before either would be as long as these files. Remove them
when a release of trimesh passes tests/initial/test_gltf.py; 5.2.0 fails most of it.

Source: glTF 2.0 specification, sections 2 to 3.6 and 4.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from sctd.errors import InputError
from sctd.formats import gltf_extensions

Say = Callable[[str], None]
Json = dict[str, Any]


class Document:
    """The JSON of a file and its buffers. Messages name the place in the JSON."""

    def __init__(self, path: Path, say: Say) -> None:
        """
        Raises:
            InputError: no glTF 2, cut off, or it requires an extension that is not read.
        """
        data = path.read_bytes()
        self.folder = path.parent
        self.say = say
        text, self._binary = _chunks(data, say) if data[:4] == b"glTF" else (data, None)
        try:
            tree = json.loads(text.decode("utf-8-sig"), parse_constant=_no_number)
        except (UnicodeDecodeError, ValueError, RecursionError) as exc:
            raise InputError(f"it is damaged or no glTF file: its JSON cannot be read ({exc})") from exc
        if not isinstance(tree, dict):
            raise InputError("it is damaged or no glTF file: its JSON is no object")
        self.tree: Json = tree
        asset = tree.get("asset")
        if not isinstance(asset, dict) or "version" not in asset:
            raise InputError("asset.version is missing; it is damaged or no glTF file")
        if asset.get("minVersion", "2.0") != "2.0" or not str(asset["version"]).startswith("2."):
            version = asset.get("minVersion", asset["version"])
            raise InputError(f"asset.version is {version}, and 2.0 is read; export it as glTF 2.0")
        gltf_extensions.check(tree, say)
        self._buffers: dict[int, bytes] = {}

    def items(self, kind: str) -> list[Json]:
        """All objects of a kind, such as ``nodes``; may be empty."""
        found = self.tree.get(kind, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise InputError(f"{kind} is no list of objects")
        return found

    def item(self, kind: str, index: Any) -> Json:
        """One object of a kind.

        Raises:
            InputError: there is none of that index.
        """
        found = self.items(kind)
        if not isinstance(index, int) or not 0 <= index < len(found):
            raise InputError(f"it names {kind}[{index}], and there are {len(found)}; the file is damaged")
        return found[index]

    def view(self, index: Any) -> memoryview:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", index)
        for name in view.get("extensions", {}):
            if name.endswith("meshopt_compression") and self._is_fallback(view.get("buffer")):
                raise InputError(
                    f"bufferViews[{index}] is stored by {name} alone; {gltf_extensions.instead(name)}"
                )
        data = self._buffer(view.get("buffer"))
        first, length = whole(view, "byteOffset", 0), whole(view, "byteLength", None)
        if first + length > len(data):
            raise InputError(
                f"bufferViews[{index}] ends at byte {first + length} of a buffer of {len(data)}; "
                "the file is damaged"
            )
        return memoryview(data)[first : first + length]

    def _is_fallback(self, index: Any) -> bool:
        buffer = self.item("buffers", index)
        return "uri" not in buffer and (index != 0 or self._binary is None)

    def _buffer(self, index: Any) -> bytes:
        buffer = self.item("buffers", index)
        if index not in self._buffers:
            if "uri" in buffer:
                data = self.resource(buffer["uri"], f"buffers[{index}].uri")
            elif index == 0 and self._binary is not None:
                data = self._binary
            else:
                raise InputError(f"buffers[{index}] has neither uri nor a binary chunk; the file is damaged")
            length = whole(buffer, "byteLength", None)
            if len(data) < length:
                raise InputError(
                    f"it is damaged: buffers[{index}] should hold {length} bytes and holds {len(data)}; "
                    "it is cut off, export or download it again"
                )
            self._buffers[index] = data
        return self._buffers[index]

    def resource(self, uri: Any, field: str) -> bytes:
        """The bytes of a data: URI, or of a file beside this one.

        Raises:
            InputError: there is no such file, or its URI is elsewhere.
        """
        if not isinstance(uri, str) or not uri:
            raise InputError(f"{field} is no text; the file is damaged")
        if uri[:5].lower() == "data:":
            return _inside(uri, field)
        shown = uri if len(uri) <= 80 else uri[:77] + "..."
        if "://" in uri or uri.startswith("//"):
            raise InputError(f"{field} is {shown!r}; fetch it and name the file beside this one instead")
        for name in dict.fromkeys((unquote(uri), uri, unquote(uri).replace("\\", "/"))):
            if "\0" not in name and (self.folder / name).is_file():
                return (self.folder / name).read_bytes()
        raise InputError(f"{field} names {shown!r}, which is not there; put it beside the file")


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def whole(item: Json, field: str, default: int | None) -> int:
    """A count or an offset, 0 and up.

    Raises:
        InputError: it is missing and has no default, or is no whole number from 0 on.
    """
    value = item.get(field, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        said = "is missing" if value is None else f"is {value!r}"
        raise InputError(f"{field} {said}, and must be a whole number from 0 on; the file is damaged")
    return value


def _chunks(data: bytes, say: Say) -> tuple[bytes, bytes | None]:
    """The JSON of a .glb and its binary chunk, if any."""
    if len(data) < 20:
        raise InputError(f"it is damaged: {len(data)} bytes are no .glb file")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise InputError(f"it is glTF {version}, and 2 is read; export it as glTF 2.0")
    if length > len(data):
        raise InputError(
            f"it is damaged: its header says {length} bytes and it has {len(data)}; "
            "it is cut off, export or download it again"
        )
    if length < len(data):
        say(f"{len(data) - length} bytes behind its end are left out")
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > length:
            raise InputError(f"it is damaged: the chunk at byte {at} says {size} bytes and passes the end")
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not chunks or chunks[0][0] != b"JSON":
        raise InputError("it is damaged: its first chunk is not the JSON")
    binary = chunks[1][1] if len(chunks) > 1 and chunks[1][0] == b"BIN\0" else None
    return chunks[0][1], binary


def _inside(uri: str, field: str) -> bytes:
    head, comma, body = uri.partition(",")
    if not comma:
        raise InputError(f"{field} is a data: URI without data; the file is damaged")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote_to_bytes(body), validate=True)
    except binascii.Error as exc:
        raise InputError(f"{field} is no base64 ({exc}); the file is damaged") from exc
