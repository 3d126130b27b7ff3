"""Damaged, hostile and foreign files of every format: read as meant, or refused in a line with their name.

Of a file that declares more than it holds, no more is unpacked than its length is worth.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_assets import lopsided

from sctd.errors import InputError
from sctd.export.table import Options, export
from sctd.formats.table import read_gaussians

BILLION = 10**9
ENDINGS = (".ply", ".splat", "3.spz", "4.spz", ".sog", ".glb", ".npz")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each format, by its ending."""
    folder = tmp_path_factory.mktemp("good")
    made = {}
    for ending in ENDINGS:
        options = Options(spz_version=int(ending[0])) if "spz" in ending else Options()
        export(folder / f"a{ending}", lopsided(1), options)
        made[ending] = (folder / f"a{ending}").read_bytes()
    return made


def refusal(path: Path, data: bytes, most: int = 4 << 20) -> str | None:
    """Why a file is refused; None: it is read. What is unpacked on the way stays below ``most`` bytes."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        read_gaussians(path)
    except InputError as exc:
        message = str(exc)
        assert str(path) in message
        assert "\n" not in message
        return message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most
    return None


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, good: dict[str, bytes], ending: str) -> None:
    data = good[ending]
    lengths = {0, 1, 3, 15, 16, 31, *np.linspace(40, len(data) - 1, 40, dtype=int).tolist()}
    if ending == ".splat":  # what ends with a record is a whole file
        lengths = {n for n in lengths if n % 32 or n == 0}
    for length in sorted(lengths):
        assert refusal(tmp_path / f"a{ending}", data[:length]), length


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_changed_byte_is_survived(tmp_path: Path, good: dict[str, bytes], ending: str) -> None:
    generator = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(good[ending])
        for at in generator.integers(len(data), size=int(generator.integers(1, 4))):
            data[at] = generator.integers(256)
        refusal(tmp_path / f"a{ending}", bytes(data), most=16 << 20)


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_formats_file_is_refused(tmp_path: Path, good: dict[str, bytes], ending: str) -> None:
    for other, data in good.items():
        if other.lstrip("34") != ending.lstrip("34") and not (ending == ".splat" and len(data) % 32 == 0):
            assert refusal(tmp_path / f"a{ending}", data), other


def spz(version: int, count: int, degree: int = 0, bits: int = 12, blocks: bytes = b"") -> bytes:
    return gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, version, count, degree, bits, 0, 0) + blocks)


def spz4(count: int, lengths: list[int], blocks: list[bytes], table: int = 32) -> bytes:
    head = struct.pack("<IIIBBBBI12x", 0x5053474E, 4, count, 0, 12, 0, len(lengths), table)
    toc = b"".join(struct.pack("<QQ", len(b), n) for b, n in zip(blocks, lengths, strict=True))
    return head + toc + b"".join(blocks)


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members.items():
            bundle.writestr(
                name.replace("_webp", ".webp").replace("_npy", ".npy").replace("_json", ".json"), data
            )
    return stream.getvalue()


def picture(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (width, height)).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def sog(count: Any, size: tuple[int, int] = (4, 4), **changes: Any) -> bytes:
    book = [0.0] * 256
    meta = {
        "version": 2,
        "count": count,
        "means": {"mins": [0, 0, 0], "maxs": [1, 1, 1], "files": ["l.webp", "l.webp"]},
        "scales": {"codebook": book, "files": ["l.webp"]},
        "quats": {"files": ["l.webp"]},
        "sh0": {"codebook": book, "files": ["l.webp"]},
        **changes,
    }
    return zipped(meta_json=json.dumps(meta).encode(), l_webp=picture(*size))


def npy(shape: tuple[int, ...], data: bytes, kind: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


def glb(**changes: Any) -> bytes:
    """One Gaussian, all of whose accessors are the same four numbers; ``changes`` of the tree."""
    names = ("ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0")
    attributes = {
        "POSITION": 1,
        **{f"KHR_gaussian_splatting:{n}": i for n, i in zip(names, (0, 1, 2, 1), strict=True)},
    }
    extension = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display", **changes.pop("extension", {})}
    for name in changes.pop("without", []):
        del attributes[name]
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 1, "type": kind} | changes.get("accessor", {})
        for kind in ("VEC4", "VEC3", "SCALAR")
    ]
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **changes.get("node", {})}],
        "meshes": [
            {
                "primitives": [
                    {"mode": 0, "attributes": attributes, "extensions": {"KHR_gaussian_splatting": extension}}
                ]
            }
        ],
        "accessors": accessors,
        "bufferViews": [{"buffer": 0, "byteLength": 16}],
        "buffers": [{"byteLength": 16}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s4f", 16, b"BIN\0", 0.5, 0.5, 0.5, 0.5)
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


COMPRESSED = (
    "ply\nformat binary_little_endian 1.0\nelement chunk {chunks}\n"
    + "".join(
        f"property float {end}{kind}_{a}\n"
        for end in ("min", "max")
        for kind in ("", "_scale")
        for a in "xyz"
    )
    + "element vertex {count}\n"
    + "".join(f"property uint packed_{name}\n" for name in ("position", "rotation", "scale", "color"))
    + "end_header\n"
)


def compressed(chunks: int, count: int, rows: bytes) -> bytes:
    return COMPRESSED.format(chunks=chunks, count=count).encode() + rows


@pytest.mark.parametrize(
    ("ending", "make", "says"),
    [
        (".spz", lambda: spz(3, BILLION), "numPoints says 1000000000, which need"),
        (".spz", lambda: spz(3, 40_000), "numPoints 40000 need 800016 bytes, and it unpacks to 16"),
        (".spz", lambda: spz(3, 5, degree=4), "shDegree is 4, and 0 to 3 are read"),
        (".spz", lambda: spz(3, 5, bits=24), "fractionalBits is 24 of 24"),
        (".spz", lambda: spz(7, 5), "it is .spz of version 7, and 1 to 4 are read"),
        (".spz", lambda: spz(2, 0), "holds no Gaussians"),
        (".spz", lambda: gzip.compress(b"hello, hello, hello"), "it does not begin with 'NGSP'"),
        (".spz", lambda: spz4(BILLION, [0] * 5, [b""] * 5), "numPoints says 1000000000, which need"),
        (".spz", lambda: spz4(5, [0] * 4, [b""] * 4), "numStreams is 4, and degree 0 has 5"),
        (".spz", lambda: spz4(5, [44, 5, 15, 15, 20], [b""] * 5), "positions has 44 bytes, and"),
        (".spz", lambda: spz4(5, [45, 5, 15, 15, 20], [b"?" * 9] * 5), "positions cannot be unpacked"),
        (".spz", lambda: spz4(5, [45, 5, 15, 15, 20], [b""] * 5, 10**6), "tocByteOffset is 1000000"),
        (".sog", lambda: sog(BILLION), "count is 1000000000 in a file of"),
        (".sog", lambda: sog(-1), "count is -1 in a file of"),
        (".sog", lambda: sog("5"), "count is '5' in a file of"),
        (".sog", lambda: sog(17), "l.webp has 4 x 4 pixels for 17 of means"),
        (".sog", lambda: sog(5, (2000, 2000)), "l.webp has 2000 x 2000 pixels for 5 of means"),
        (".sog", lambda: sog(5), "quats: a pixel has the alpha 0"),
        (".sog", lambda: sog(5, version=1), "meta.json has version 1, and 2 is read"),
        (".sog", lambda: sog(5, quats={"files": ["q.webp"]}), "it has no q.webp"),
        (".sog", lambda: sog(5, means={"mins": [0], "files": ["l.webp"] * 2}), "means.mins is no"),
        (".sog", lambda: sog(5, scales={"codebook": [1], "files": ["l.webp"]}), "scales.codebook is"),
        (".sog", lambda: zipped(meta_json=b"[1]"), "meta.json is no object"),
        (".sog", lambda: zipped(meta_json=b"{"), "meta.json cannot be read"),
        (".sog", lambda: zipped(other=b""), "it has no meta.json"),
        (".sog", lambda: zipped(meta_json=bytes(20 << 20)), "meta.json says 20971520 bytes in a file of"),
        (".npz", lambda: zipped(means_npy=npy((BILLION, 3), b"")), "means says 1000000000, which need"),
        (".npz", lambda: zipped(means_npy=npy((5, 3), b"")), "means is cut off: 0 of 60 bytes"),
        (".npz", lambda: zipped(means_npy=npy((5, 4), bytes(80))), "means is float32 of shape (5, 4)"),
        (".npz", lambda: zipped(means_npy=npy((5, 3), bytes(60), "<i4")), "means is int32 of shape (5, 3)"),
        (".npz", lambda: zipped(other_npy=npy((5, 3), bytes(60))), "it has no array 'means'"),
        (".glb", lambda: glb(accessor={"count": BILLION}), "1000000000 elements need"),
        (".glb", lambda: glb(without=["KHR_gaussian_splatting:SCALE"]), ":SCALE; export"),
        (".glb", lambda: glb(without=["POSITION"]), "have no POSITION"),
        (".glb", lambda: glb(extension={"kernel": "cube"}), "kernel is 'cube', and 'ellipse' is read"),
        (".glb", lambda: glb(extension={"extensions": {"KHR_x": {}}}), "packed by KHR_x"),
        (".glb", lambda: glb(node={"scale": [1, 2, 1]}), "scales them unevenly"),
        (".glb", lambda: glb(node={"scale": [-1, 1, 1]}), "mirrors its Gaussians"),
        (".ply", lambda: compressed(1, BILLION, b""), "is cut off"),
        (".ply", lambda: compressed(1, 300, bytes(48 + 4800)), "'chunk' has 1 rows, and 300"),
        (".splat", lambda: bytes(28) + bytes([128] * 4), "holds no usable Gaussians: rotation"),
    ],
)
def test_what_is_declared_is_checked_first(
    tmp_path: Path, ending: str, make: Callable[[], bytes], says: str
) -> None:
    said = refusal(tmp_path / f"a{ending}", make())
    assert said is not None
    assert says in said


def test_spz_of_version_1_is_read(tmp_path: Path) -> None:
    """Positions of half precision, rotations by x, y and z."""
    blocks = (
        struct.pack("<3e", 1.5, -2.0, 0.25) + bytes([128]) + bytes([255, 128, 0]) + bytes([128, 160, 112])
    )
    (tmp_path / "a.spz").write_bytes(spz(1, 1, blocks=blocks + bytes([191, 128, 128])))
    found = read_gaussians(tmp_path / "a.spz")
    assert found.means.tolist() == [[1.5, 2.0, -0.25]]  # y up
    assert found.scales.tolist() == [[-2.0, 0.0, -3.0]]
    np.testing.assert_allclose(
        found.quats[0], [(1 - (63.5 / 127.5) ** 2) ** 0.5, 63.5 / 127.5, 0, 0], atol=0.004
    )
    np.testing.assert_allclose(found.opacities.sigmoid(), [128 / 255], atol=1e-6)
    np.testing.assert_allclose(found.sh0[0, 0], [10 / 3, 0.5 / 255 / 0.15, -10 / 3], atol=1e-5)


def test_numbers_that_are_none_are_left_out_and_counted(tmp_path: Path, good: dict[str, bytes]) -> None:
    names = ("means", "scales", "quats", "opacities", "sh0", "shN")
    with np.load(io.BytesIO(good[".npz"])) as bundle:
        arrays = {name: bundle[name].copy() for name in names}
    arrays["means"][3] = np.nan
    arrays["quats"][5] = 0
    np.savez(tmp_path / "a.npz", **arrays)
    said: list[str] = []
    found = read_gaussians(tmp_path / "a.npz", say=said.append)
    assert len(found) == len(arrays["means"]) - 2
    assert len(said) == 1
    assert "2 of 40 Gaussians are left out: position not finite (1), rotation" in said[0]


def test_a_nodes_transform_is_applied(tmp_path: Path) -> None:
    """A quarter turn about y, (x, y, z) => (z, y, -x), at twice the size, moved up by 3."""
    half = 0.5**0.5
    node = {"rotation": [0, half, 0, half], "scale": [2, 2, 2], "translation": [0, 3, 0]}
    (tmp_path / "a.glb").write_bytes(glb(node=node))
    found = read_gaussians(tmp_path / "a.glb")
    np.testing.assert_allclose(found.means, [[1.0, 4.0, -1.0]], atol=1e-6)
    np.testing.assert_allclose(found.scales.exp(), [[1.0, 1.0, 1.0]], atol=1e-6)
    # (half, 0, half, 0) times (1, 1, 1, 1) / 2, wxyz
    np.testing.assert_allclose(found.quats, [[0, half, half, 0]], atol=1e-6)
