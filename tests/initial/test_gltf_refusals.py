"""glTF files that are refused in one line, or read with a word: what is wrong, where, and what to do."""

from __future__ import annotations

import json
import re
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mesh_files import Gltf
from starts import points_of

from sctd.errors import InputError
from sctd.formats.meshes import gltf

SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
HALVES = np.array([0, 1, 2, 0, 2, 3], np.uint16)


def square() -> Gltf:
    file = Gltf()
    file.mesh([{"attributes": {"POSITION": file.accessor(SQUARE)}, "indices": file.accessor(HALVES)}])
    return file


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        points_of(path, said=[])
    message = str(caught.value)
    assert message.startswith(f"cannot start from {path}: ")
    assert "\n" not in message
    assert "Error:" not in message  # none of Python's own
    return message.partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("FOO_bar", "export it without that extension"),
        ("KHR_draco_mesh_compression", "export it without Draco compression"),
        ("EXT_meshopt_compression", "export it without meshopt compression"),
        ("KHR_meshopt_compression", "export it without meshopt compression"),
        ("KHR_texture_basisu", "export its textures as PNG, JPEG or WebP"),
    ],
)
def test_required_extensions_are_refused_by_name(tmp_path: Path, name: str, instead: str) -> None:
    file = square()
    file.tree["extensionsRequired"] = file.tree["extensionsUsed"] = [name]
    said = refused(file.save(tmp_path / "a.glb"))
    assert said == f"extensionsRequired names {name}, which is not read; {instead}"


def test_extensions_that_are_only_used_are_said(tmp_path: Path) -> None:
    file, said = square(), list[str]()
    names = ["KHR_materials_variants", "KHR_materials_transmission", "FOO_bar", "BAR_foo", "MSFT_lod"]
    file.tree["extensionsUsed"] = [*names, "KHR_texture_basisu", "KHR_lights_punctual"]
    points_of(file.save(tmp_path / "a.glb"), said=said)
    assert [line.split("a.glb: ")[1] for line in said] == [
        "KHR_materials_transmission: what is behind glass is not seen through it; it has its base colour",
        "KHR_materials_variants: the materials of no variant are used",
        "MSFT_lod: the finest level is used",
        "not read: BAR_foo, FOO_bar",
    ]


def draco_alone(file: Gltf) -> None:
    file.tree["accessors"][0].pop("bufferView")
    primitive = file.tree["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}


def meshopt_alone(file: Gltf) -> None:
    file.tree["buffers"] = [{"byteLength": len(file.data)}, {"byteLength": 999}]
    file.tree["bufferViews"][0] |= {"buffer": 1, "extensions": {"EXT_meshopt_compression": {"buffer": 0}}}


def basisu_alone(file: Gltf) -> None:
    index = file.add("textures", {"extensions": {"KHR_texture_basisu": {"source": 0}}})
    base = {"baseColorTexture": {"index": index}}
    file.tree["meshes"][0]["primitives"][0]["material"] = file.add(
        "materials", {"pbrMetallicRoughness": base}
    )


def accessor(index: int, **changes: Any) -> Callable[[Gltf], None]:
    return lambda file: file.tree["accessors"][index].update(changes)


def primitive(**changes: Any) -> Callable[[Gltf], None]:
    return lambda file: file.tree["meshes"][0]["primitives"][0].update(changes)


def tree(**changes: Any) -> Callable[[Gltf], None]:
    return lambda file: file.tree.update(changes)


def no_bytes(file: Gltf) -> None:
    file.tree["accessors"][0].pop("bufferView")
    file.tree["accessors"][0]["count"] = 10**9


def integers_as_colors(file: Gltf) -> None:
    color = file.accessor(np.full((4, 4), 200, np.uint8))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = color


def short_colors(file: Gltf) -> None:
    color = file.accessor(np.ones((3, 4), np.float32))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = color


def far_sparse(file: Gltf) -> None:
    indices = {"bufferView": file.view(b"\x09"), "componentType": 5121}
    values = {"bufferView": file.view(b"\0" * 12)}
    file.tree["accessors"][0]["sparse"] = {"count": 1, "indices": indices, "values": values}


def not_finite(file: Gltf) -> None:
    place = file.accessor(np.where(SQUARE == 1, np.nan, SQUARE).astype(np.float32))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = place


def colors_not_finite(file: Gltf) -> None:
    color = file.accessor(np.full((4, 4), np.nan, np.float32))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = color


def with_material(**item: Any) -> Callable[[Gltf], None]:
    def change(file: Gltf) -> None:
        file.tree["materials"] = [item]
        file.tree["meshes"][0]["primitives"][0]["material"] = 0

    return change


WRONG: dict[str, tuple[Callable[[Gltf], None], str]] = {
    "Draco alone": (draco_alone, "its vertices are stored by KHR_draco_mesh_compression alone; export it w"),
    "meshopt alone": (
        meshopt_alone,
        "bufferViews[0] is stored by EXT_meshopt_compression alone; export it w",
    ),
    "Basis alone": (
        basisu_alone,
        "textures[0] is stored by KHR_texture_basisu alone; export its textures as",
    ),
    "glTF 1": (
        tree(asset={"version": "1.0"}),
        "asset.version is 1.0, and 2.0 is read; export it as glTF 2.0",
    ),
    "glTF 3": (tree(asset={"version": "2.0", "minVersion": "3.0"}), "asset.version is 3.0, and 2.0 is read"),
    "no version": (tree(asset={}), "asset.version is missing"),
    "no such scene": (tree(scene=4), "it names scenes[4], and there are 1"),
    "no such mesh": (tree(nodes=[{"mesh": 3}]), "it names meshes[3], and there are 1"),
    "no such material": (primitive(material=-1), "it names materials[-1], and there are 0"),
    "own ancestor": (tree(nodes=[{"children": [1]}, {"children": [0]}]), "is its own ancestor"),
    "two parents": (tree(nodes=[{"children": [1, 2]}, {"children": [2]}, {}]), "nodes[2] is a child of two"),
    "a rotation of 0": (
        tree(nodes=[{"mesh": 0, "rotation": [0, 0, 0, 0]}]),
        "nodes[0]: a rotation is 0 0 0 0",
    ),
    "a short matrix": (
        tree(nodes=[{"mesh": 0, "matrix": [1, 2]}]),
        "a node's matrix is [1, 2], and must be 16",
    ),
    "mode 9": (primitive(mode=9), "meshes[0].primitives[0]: mode is 9; 0 to 6 are possible"),
    "too long": (accessor(0, count=5), "accessors[0]: 5 elements need 60 bytes, and its bufferView has 48"),
    "far too long": (accessor(0, count=10**9), "accessors[0]: 1000000000 elements need 12000000000 bytes"),
    "no bytes": (no_bytes, "accessors[0]: has no bufferView and 1000000000 elements; at most 4194304"),
    "count of -1": (accessor(0, count=-1), "count is -1, and must be a whole number from 0 on"),
    "no count": (accessor(0, count=None), "count is missing"),
    "doubles": (
        accessor(0, componentType=5130),
        "accessors[0] is VEC3 of componentType 5130; read are SCALAR",
    ),
    "flat positions": (accessor(0, type="VEC2"), "accessors[0] has 2 values an element, not 3"),
    "indices as floats": (
        accessor(1, componentType=5126, count=3),
        "accessors[1] is SCALAR of float32 and can",
    ),
    "signed indices": (accessor(1, componentType=5122), "accessors[1] is SCALAR of int16 and cannot be an"),
    "an index too far": (accessor(0, count=3), "an index is 3, and there are 3 vertices"),
    "a view too long": (
        tree(bufferViews=[{"buffer": 0, "byteLength": 999}]),
        "bufferViews[0] ends at byte 999",
    ),
    "integers as colours": (integers_as_colors, "holds colours as uint8 without normalized: true; export it"),
    "short colours": (short_colors, "COLOR_0 has 3 values for 4 vertices"),
    "far sparse": (far_sparse, "accessors[0]: sparse names element 9 of 4"),
    "not finite": (not_finite, "some vertices are not finite"),
    "colours not finite": (colors_not_finite, "some colours are not finite"),
    "NaN in the JSON": (tree(extras=float("nan")), "its JSON cannot be read (NaN is no number)"),
    "endless glow": (
        with_material(
            emissiveFactor=[1, 0, 0],
            extensions={"KHR_materials_emissive_strength": {"emissiveStrength": 10**400}},
        ),
        "materials[0]: emissiveStrength is [1000",
    ),
    "a node at the end of numbers": (
        tree(nodes=[{"mesh": 0, "scale": [1e300, 1e300, 1e300], "translation": [1e308, 0, 0]}]),
        "some vertices are",
    ),
    "alphaMode": (with_material(alphaMode="X"), "materials[0]: alphaMode is 'X', not OPAQUE, MASK or BLEND"),
    "a short factor": (
        with_material(pbrMetallicRoughness={"baseColorFactor": [1, 0]}),
        "materials[0]: baseColorFactor is [1, 0], and must be 4 numbers",
    ),
    "buffer elsewhere": (
        tree(buffers=[{"byteLength": 64, "uri": "https://example.org/a.bin"}]),
        "buffers[0].uri is 'https://example.org/a.bin'; fetch it and name the file beside this one",
    ),
    "buffer not there": (
        tree(buffers=[{"byteLength": 64, "uri": "gone%20away.bin"}]),
        "buffers[0].uri names 'gone%20away.bin', which is not there; put it beside the file",
    ),
    "no base64": (
        tree(buffers=[{"byteLength": 64, "uri": "data:;base64,!!"}]),
        "buffers[0].uri is no base64",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    file = square()
    change, says = WRONG[name]
    change(file)
    file.tree["accessors"] = [
        {key: value for key, value in item.items() if value is not None} for item in file.tree["accessors"]
    ]
    assert says in refused(file.save(tmp_path / "a.glb"))


def test_a_billion_vertices_in_a_kilobyte_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for change in (no_bytes, accessor(0, count=10**9), accessor(1, count=10**9)):
        file = square()
        change(file)
        refused(file.save(tmp_path / "a.glb"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_instances_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that show one mesh cost a file next to nothing."""
    monkeypatch.setattr(gltf, "MOST_TRIANGLES", 30)
    file = square()
    file.tree["nodes"] *= 15
    file.tree["scenes"] = [{"nodes": list(range(15))}]
    points_of(file.save(tmp_path / "a.glb"))
    file.tree["nodes"] *= 2
    file.tree["scenes"] = [{"nodes": list(range(30))}]
    assert "its scene shows more than 30 triangles; export fewer" in refused(file.save(tmp_path / "a.glb"))


def test_containers_that_are_cut_off_or_too_long(tmp_path: Path) -> None:
    path = square().save(tmp_path / "a.glb")
    data = path.read_bytes()
    for length in (0, 3, 12, 19, 20, 300, len(data) - 1):
        path.write_bytes(data[:length])
        assert "it is damaged" in refused(path)
    path.write_bytes(data[:-1])
    assert f"its header says {len(data)} bytes and it has {len(data) - 1}; it is cut off" in refused(path)
    path.write_bytes(data[:4] + struct.pack("<I", 1) + data[8:])
    assert "it is glTF 1, and 2 is read" in refused(path)
    path.write_bytes(data[:12] + struct.pack("<I", 10**9) + data[16:])
    assert "the chunk at byte 12 says 1000000000 bytes and passes the end" in refused(path)
    said: list[str] = []
    path.write_bytes(data + b"abc")
    points_of(path, said=said)
    assert said == [f"{path}: 3 bytes behind its end are left out"]


def test_a_buffer_that_is_cut_off(tmp_path: Path) -> None:
    file = square()
    file.tree["buffers"] = [{"byteLength": len(file.data), "uri": "a.bin"}]
    path = file.save(tmp_path / "a.gltf")
    (tmp_path / "a.bin").write_bytes(file.data[:-1])
    want = f"buffers[0] should hold {len(file.data)} bytes and holds {len(file.data) - 1}; it is cut off"
    assert want in refused(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"{", b"\xff\xfe", b"[" * 100_000, b'{"asset": 3}'])
def test_no_gltf_at_all(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.gltf").write_bytes(text)
    assert "it is damaged or no glTF file" in refused(tmp_path / "a.gltf")


def test_every_field_of_the_wrong_type_is_one_line(tmp_path: Path) -> None:
    """Each value of a whole file replaced in turn; no reading may end in anything but points or one line."""
    file = square()
    color = file.accessor(np.ones((4, 4), np.float32))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = color
    with_material(pbrMetallicRoughness={"baseColorFactor": [1, 1, 1, 1]}, alphaMode="MASK")(file)
    text = json.dumps(file.tree)
    places = [m.span(1) for m in re.finditer(r'(?<=: )("[^"]*"|-?[\d.]+|\[[^\[\]{}]*\])(?=[,}])', text)]
    assert len(places) > 30
    path = tmp_path / "a.gltf"
    refusals: list[str] = []
    for first, last in places:
        for value in ('"x"', "-1", "null", "{}", "[[]]", "1e300"):
            path.write_text(text[:first] + value + text[last:])
            try:
                points_of(path, count=3, said=[])
            except InputError as exc:
                refusals.append(str(exc))
    assert len(refusals) > 100
    assert not any("\n" in line for line in refusals)


def test_a_texture_without_its_coordinates_is_said(tmp_path: Path) -> None:
    file, said = square(), list[str]()
    base = {"baseColorFactor": [0, 1, 0, 1], "baseColorTexture": {"index": 0, "texCoord": 1}}
    with_material(pbrMetallicRoughness=base)(file)
    file.texture(np.full((2, 2, 3), 9, np.uint8))
    _, colors = points_of(file.save(tmp_path / "a.glb"), said=said)
    np.testing.assert_allclose(colors, [[0, 1, 0]] * 400, atol=1e-6)
    assert said[0].endswith("1 primitive without the TEXCOORD_1 that its texture needs, which is left out")


@pytest.mark.parametrize("image", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_an_image_that_is_damaged_is_said(tmp_path: Path, image: bytes) -> None:
    file, said = square(), list[str]()
    uv = file.accessor(np.zeros((4, 2), np.float32))
    file.tree["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = uv
    with_material(pbrMetallicRoughness={"baseColorTexture": {"index": file.texture(image + b" ")}})(file)
    points_of(file.save(tmp_path / "a.glb"), said=said)
    assert "images[0] cannot be read and is left out: " in said[0]
    assert len(said) == 1
