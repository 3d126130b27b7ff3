"""MTL material libraries => colours, textures, glow and opacity by name.

The reader takes Kd, d, Tr, Ke, map_Kd, map_d and map_Ke, with -s, -o, -clamp and -mm; other statements
concern reflection. It multiplies an image with its Kd, as the specification says, unless Kd is black:
exporters write that beside an image, and it would hide the image.

Source: "Alias/WaveFront Material (.mtl) File Format", in the Advanced Visualizer manual, appendix B1-1995.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.meshes.texture import Texture, Wrap, decode

Say = Callable[[str], None]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Map:
    """A texture with its scale and offset, uv => uv * scale + offset, v from the bottom."""

    texture: Texture
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass
class ObjMaterial:
    """A material as in the file; None: not given. Colours are sRGB, 0..1."""

    kd: Color | None = None
    ke: Color | None = None
    d: float | None = None
    tr: float | None = None
    map_kd: Map | None = None
    map_ke: Map | None = None
    map_d: Map | None = None

    @property
    def opacity(self) -> float:
        """``d``, or 1 - ``Tr`` without a ``d``."""
        return self.d if self.d is not None else 1.0 - (self.tr or 0.0)


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without their ends, and their numbers from 1; after a backslash a line continues in the next.

    UTF-8 or Latin-1, with or without a byte order mark; CR, LF or both end a line.
    """
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    begun, first = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            begun, first = begun + line[:-1] + " ", first or number
            continue
        yield first or number, begun + line
        begun, first = "", 0
    if begun:
        yield first, begun


def words_of(line: str) -> list[str]:
    """A statement's words, without its comment."""
    return line.partition("#")[0].split()


def read_mtl(path: Path, say: Say) -> dict[str, ObjMaterial]:
    """The materials of a library; reports parts that cannot be read.

    Raises:
        InputError: a line is wrong; the message names it.
    """
    found: dict[str, ObjMaterial] = {}
    material = ObjMaterial()
    with_image: set[int] = set()
    for number, line in text_lines(path):
        keyword, _, rest = line.strip().replace("\t", " ").partition(" ")
        where = f"{path.name} line {number}"
        name = keyword.lower()
        if name == "newmtl":
            material = found.setdefault(rest.strip(), ObjMaterial())
        elif name in ("kd", "ke"):
            setattr(material, name, _color(rest, where, say))
        elif name in ("d", "tr"):
            values = [word for word in words_of(rest) if word.lower() != "-halo"]
            setattr(material, name, min(max(_number(values[0] if values else "", where), 0.0), 1.0))
        elif name in ("map_kd", "map_ke", "map_d"):
            setattr(material, name, _map(path, rest, where, say, scalar=name == "map_d"))
            with_image |= {id(material)} if name == "map_kd" else set()
    for name, made in found.items():
        if id(made) in with_image and made.kd is not None and not any(made.kd):
            made.kd = None
        if made.opacity == 0 and made.d is None:
            say(f"{path.name}: material {name!r} has Tr 1, which is fully clear; write d 1 to see it")
    return found


def _color(rest: str, where: str, say: Say) -> Color | None:
    values = words_of(rest)
    if values and values[0].lower() in ("spectral", "xyz"):
        say(f"{where}: colours as {values[0]} are not read, only red, green and blue")
        return None
    levels = [min(max(_number(v, where), 0.0), 1.0) for v in values[:3]]
    if len(levels) == 1:  # the specification: missing green and blue equal red
        levels *= 3
    if len(levels) != 3:
        raise InputError(f"{where}: a colour has {len(levels)} numbers and needs 3")
    return levels[0], levels[1], levels[2]


_NUMBERS = {"-s": 3, "-o": 3, "-t": 3, "-mm": 2}
_WORDS = ("-blendu", "-blendv", "-bm", "-boost", "-cc", "-clamp", "-imfchan", "-texres", "-type")


def _map(library: Path, rest: str, where: str, say: Say, *, scalar: bool) -> Map | None:
    """The options and the file of a map statement; None, with a message, when it cannot be read."""
    options, name = _options(rest)

    def numbers(option: str, default: tuple[float, float]) -> tuple[float, float]:
        given = [_number(word, where) for word in options.get(option, [])[:2]]
        first, second = (*given, *default[len(given) :])
        return first, second

    path = find_named(library.parent, name, where, say)
    if path is None:
        say(f"{where}: image {name!r} is not there and left out; put it beside the file")
        return None
    try:
        pixels = decode(path.read_bytes())
    except (OSError, ValueError) as exc:
        say(f"{where}: image {name!r} cannot be read and is left out: {exc}")
        return None
    for option in ("-t", "-cc"):
        if option in options and options[option] not in (["0", "0", "0"], ["off"]):
            say(f"{where}: {option} is not read")
    base, gain = numbers("-mm", (0.0, 1.0))
    if (base, gain) != (0.0, 1.0):
        levels = np.clip(base * 255 + gain * pixels[..., :3], 0, 255)
        pixels = np.concatenate([levels.round().astype(np.uint8), pixels[..., 3:]], axis=-1)
    if scalar:
        pixels = _as_opacity(pixels, options.get("-imfchan", [""])[0])
    edge: Wrap = "clamp" if options.get("-clamp", ["off"])[0].lower() == "on" else "repeat"
    texture = Texture(torch.from_numpy(pixels), (edge, edge))
    return Map(texture, numbers("-s", (1.0, 1.0)), numbers("-o", (0.0, 0.0)))


def _options(rest: str) -> tuple[dict[str, list[str]], str]:
    """A map's options with their values, and its file name, which may contain spaces."""
    options: dict[str, list[str]] = {}
    rest = rest.strip()
    while match := re.match(r"(-[a-zA-Z]+)\s+", rest):
        name, after = match[1].lower(), rest[match.end() :]
        most = _NUMBERS.get(name, 1 if name in _WORDS else 0)
        if not most:
            break  # a file name that begins with a dash
        values: list[str] = []
        while len(values) < most and (word := re.match(r"(\S+)\s+", after)):
            if name in _NUMBERS and not _is_number(word[1]):
                break
            values.append(word[1])
            after = after[word.end() :]
        options[name], rest = values, after
    return options, rest.strip('" ')


def find_named(folder: Path, name: str, where: str, say: Say) -> Path | None:
    """A file by its name on Windows, Linux or in another folder, in upper or lower case.

    Args:
        folder: of relative names; for a path that does not exist, its last part is looked up here.
        where: the statement, for the message.
    """
    plain = name.strip('" ').replace("\\", "/")
    for candidate in dict.fromkeys((name, plain, plain.partition(" #")[0].strip())):
        if candidate and (path := _find(folder, candidate)):
            return path
    last = plain.rpartition("/")[2]
    path = _find(folder, last) if last and last != plain else None
    if path is not None:
        say(f"{where}: {name!r} is not there; {last!r} beside the file is taken")
    return path


def _find(folder: Path, name: str) -> Path | None:
    if os.path.isfile(folder / name):  # unlike Path.is_file, false for invalid names
        return folder / name
    here = folder
    for part in Path(name).parts:
        try:
            same = [p for p in sorted(here.iterdir()) if p.name.lower() == part.lower()]
        except (OSError, ValueError):
            return None
        if part == "..":
            same = [here / part]
        if not same:
            return None
        here = same[0]
    return here if here.is_file() else None


def _as_opacity(pixels: NDArray[np.uint8], channel: str) -> NDArray[np.uint8]:
    """An image's channel as opacity: the named one, else its own opacity, else its luminance."""
    if channel in ("r", "g", "b"):
        level = pixels[..., "rgb".index(channel)]
    elif channel == "m" or (channel == "" and bool((pixels[..., 3] < 255).any())):
        level = pixels[..., 3]
    else:
        level = (pixels[..., :3] @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    made = np.full_like(pixels, 255)
    made[..., 3] = level
    return made


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"{where}: {word!r} is no number")
    return value
