"""glTF: places and colours that the specification gives, worked out here with numpy from what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gltf_scenes import (
    HALVES,
    PICTURE,
    PLAIN,
    QUARTERS,
    SQUARE,
    UPRIGHT,
    UVS,
    corners_of,
    material,
    show,
    square,
    textured,
)
from mesh_files import Gltf, png
from starts import points_of


@pytest.mark.parametrize("top", [255, 65535])
def test_normalised_texture_coordinates(tmp_path: Path, top: int) -> None:
    file = Gltf()
    stored = (UVS * top).astype(np.uint8 if top == 255 else np.uint16)
    if top == 255:
        stored = np.pad(stored, ((0, 0), (0, 2)))  # elements begin at multiples of four bytes
        place = file.accessor(stored, type="VEC2", normalized=True)
        file.tree["bufferViews"][-1]["byteStride"] = 4
    else:
        place = file.accessor(stored, normalized=True)
    file.mesh([textured(file, TEXCOORD_0=place)])
    assert corners_of(*show(file, tmp_path)) == UPRIGHT


def test_the_second_uv_set(tmp_path: Path) -> None:
    file = Gltf()
    other = file.accessor(UVS * np.float32(0.1))
    file.mesh([textured(file, {"texCoord": 1}, TEXCOORD_0=other, TEXCOORD_1=file.accessor(UVS))])
    assert corners_of(*show(file, tmp_path)) == UPRIGHT


def test_a_texture_transform(tmp_path: Path) -> None:
    """The extension's own example: the lower left quarter, turned clockwise by 90 degrees; and its uv set."""
    file = Gltf()
    moved = {"offset": [0, 1], "rotation": np.pi / 2, "scale": [0.5, 0.5], "texCoord": 1}
    info = {"extensions": {"KHR_texture_transform": moved}}
    file.tree["extensionsRequired"] = ["KHR_texture_transform"]
    noise = file.accessor(UVS * np.float32(0.1))
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[32:, :32] = QUARTERS.repeat(16, axis=0).repeat(16, axis=1)  # the lower left quarter of it
    base = {"baseColorTexture": {"index": file.texture(picture), **info}}
    attributes = {"TEXCOORD_0": noise, "TEXCOORD_1": file.accessor(UVS)}
    file.mesh([square(file, attributes=attributes, **material(file, base))])
    turned = np.rot90(QUARTERS, k=-1) / 255
    seen = corners_of(*show(file, tmp_path))
    assert seen == {
        "tl": turned[0, 0].tolist(),
        "tr": turned[0, 1].tolist(),
        "bl": turned[1, 0].tolist(),
        "br": turned[1, 1].tolist(),
    }


@pytest.mark.parametrize("mode", [10497, 33071, 33648], ids=["repeat", "clamp", "mirror"])
def test_samplers_wrap(tmp_path: Path, mode: int) -> None:
    """u from -1.25 to 2.5: left of the picture, in it, and right of it."""
    file = Gltf()
    start, end = -1.25, 2.5
    uvs = file.accessor((UVS * [end - start, 1] + [start, 0]).astype(np.float32))
    pixels = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8).repeat(64, axis=1)
    base = {"baseColorTexture": {"index": file.texture(pixels, wrapS=mode, wrapT=33071)}}
    file.mesh([square(file, attributes={"TEXCOORD_0": uvs}, **material(file, base))])
    points, colors = show(file, tmp_path)
    u = start + (end - start) * (points[:, 0] + 1) / 2
    wrapped = {10497: u % 1, 33071: u.clip(0, 1), 33648: 1 - np.abs(u % 2 - 1)}[mode]
    seam = np.abs(wrapped - 0.5) < 0.01
    seam |= (np.minimum(u % 1, 1 - u % 1) < 0.01) & (mode == 10497)
    want = np.where(wrapped[:, None] < 0.5, [1.0, 0, 0], [0, 0, 1.0])
    np.testing.assert_allclose(colors[~seam], want[~seam], atol=1e-5)
    assert (~seam).sum() > 300
    assert len(np.unique(want[:, 0])) == 2


def test_the_nearest_texel(tmp_path: Path) -> None:
    """Pixel art: two texels, and no colour between them."""
    file = Gltf()
    index = file.texture(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8), magFilter=9728)
    base = {"baseColorTexture": {"index": index}}
    file.mesh([square(file, attributes={"TEXCOORD_0": file.accessor(UVS)}, **material(file, base))])
    points, colors = show(file, tmp_path)
    np.testing.assert_allclose(colors, np.where(points[:, :1] < 0, [1.0, 0, 0], [0, 0, 1.0]), atol=1e-5)


@pytest.mark.parametrize("kind", ["i1", "i2", "u1", "u2"])
@pytest.mark.parametrize("normalized", [False, True])
def test_quantised_positions(tmp_path: Path, kind: str, normalized: bool) -> None:
    """KHR_mesh_quantization, with two meshes whose node offsets must fit their sizes."""
    file = Gltf()
    file.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    top = np.iinfo(kind).max
    stored = np.zeros((4, 4), np.dtype(kind).newbyteorder("<"))  # padded to four bytes
    stored[:, :3] = (SQUARE * top).clip(0 if kind[0] == "u" else -top, top).astype(int)
    place = file.accessor(stored, type="VEC3", normalized=normalized)
    file.tree["bufferViews"][-1]["byteStride"] = 4 * np.dtype(kind).itemsize
    corners = file.accessor(HALVES)
    primitive = {"attributes": {"POSITION": place}, "indices": corners}
    size = 2.0 if normalized else 2.0 / top
    file.mesh([primitive], scale=[size] * 3)
    file.mesh([primitive], scale=[size] * 3, translation=[10, 0, 0])
    points, _ = show(file, tmp_path)
    low = 0.0 if kind[0] == "u" else -2.0
    for where in (0, 10):
        here = points[np.abs(points[:, 0] - where) < 3]
        assert abs(len(here) - 200) <= 2
        np.testing.assert_allclose(here.min(0), [where + low, low, 0], atol=0.35)
        np.testing.assert_allclose(here.max(0), [where + 2, 2, 0], atol=0.35)


def test_interleaved_strides_and_offsets(tmp_path: Path) -> None:
    """Positions and colours in one view of 20 bytes an element, six bytes of which nobody names."""
    file = Gltf()
    rows = np.zeros(4, [("pad", "<u2"), ("p", "<f4", 3), ("c", "u1", 4), ("more", "<u2")])
    rows["p"], rows["c"], rows["pad"], rows["more"] = SQUARE, [0, 255, 0, 255], 77, 88
    view = file.view(rows.tobytes(), byteStride=20)
    shared = {"bufferView": view, "count": 4}
    place = file.add("accessors", {**shared, "byteOffset": 2, "componentType": 5126, "type": "VEC3"})
    color = file.add(
        "accessors", {**shared, "byteOffset": 14, "componentType": 5121, "type": "VEC4", "normalized": True}
    )
    attributes = {"POSITION": place, "COLOR_0": color}
    file.mesh([{"attributes": attributes, "indices": file.accessor(HALVES)}])
    points, colors = show(file, tmp_path)
    np.testing.assert_allclose(np.abs(points).max(0), [1, 1, 0], atol=0.02)
    np.testing.assert_allclose(colors, [[0, 1, 0]] * 400, atol=1e-6)


@pytest.mark.parametrize("with_base", [False, True])
def test_sparse_accessors(tmp_path: Path, with_base: bool) -> None:
    """Two vertices moved; without a bufferView the others are zeros."""
    file = Gltf()
    moved = np.array([[5, -1, 0], [5, 1, 0]], np.float32)
    sparse = {
        "count": 2,
        "indices": {"bufferView": file.view(np.array([1, 2], np.uint8).tobytes()), "componentType": 5121},
        "values": {"bufferView": file.view(moved.tobytes())},
    }
    place = file.accessor(SQUARE, sparse=sparse, **({} if with_base else {"bufferView": None}))
    file.mesh([{"attributes": {"POSITION": place}, "indices": file.accessor(HALVES)}])
    base = SQUARE.copy() if with_base else np.zeros_like(SQUARE)
    base[1:3] = moved
    points, _ = show(file, tmp_path)
    np.testing.assert_allclose(points.max(0), base.max(0), atol=0.4)
    np.testing.assert_allclose(points.min(0), base.min(0), atol=0.4)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", None])
def test_indices_of_every_type_and_none(tmp_path: Path, kind: str | None) -> None:
    file = Gltf()
    if kind is None:
        file.mesh([{"attributes": {"POSITION": file.accessor(SQUARE[HALVES])}}])
    else:
        corners = file.accessor(HALVES.astype(kind))
        file.mesh([{"attributes": {"POSITION": file.accessor(SQUARE)}, "indices": corners}])
    points, colors = show(file, tmp_path)
    assert abs((points[:, 0] > points[:, 1]).sum() - 200) <= 2
    np.testing.assert_allclose(colors, [PLAIN] * 400, atol=1e-6)


@pytest.mark.parametrize(("mode", "order"), [(5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])])
@pytest.mark.parametrize("indexed", [False, True])
def test_strips_and_fans(tmp_path: Path, mode: int, order: list[int], indexed: bool) -> None:
    file = Gltf()
    primitive: dict[str, Any] = {"attributes": {"POSITION": file.accessor(SQUARE[order])}, "mode": mode}
    if indexed:
        primitive["attributes"] = {"POSITION": file.accessor(SQUARE)}
        primitive["indices"] = file.accessor(np.array(order, np.uint8))
    file.mesh([primitive])
    points, _ = show(file, tmp_path)
    quarters = [((points[:, 0] * sx > 0) & (points[:, 1] * sy > 0)).sum() for sx in (-1, 1) for sy in (-1, 1)]
    assert sum(quarters) == 400
    assert min(quarters) > 70


def test_points_and_lines_beside_triangles_are_said(tmp_path: Path) -> None:
    file, said = Gltf(), list[str]()
    lines = {"attributes": {"POSITION": file.accessor(SQUARE + np.float32(9))}, "mode": 1}
    bare: dict[str, Any] = {"attributes": {}}
    file.mesh([square(file), lines, {**lines, "mode": 0}, {**lines, "mode": 3}, bare])
    points, _ = show(file, tmp_path, said=said)
    assert points.max() <= 1
    assert [line.split(": ")[1] for line in said] == [
        "2 primitives of lines left out",
        "1 primitive of points left out",
        "1 primitive without POSITION left out",
    ]


# scenes -------------------------------------------------------------------------------------------------


def test_hierarchies_matrices_and_negative_scales(tmp_path: Path) -> None:
    """A column-major matrix above a mirror above a turn, against numpy's product of the three."""
    file = Gltf()
    shear = np.array([[1, 0.5, 0, 3], [0, 2, 0, -1], [0, 0, 1, 4], [0, 0, 0, 1]])
    third = 2 * np.pi / 3
    axis = np.array([1, 1, 1]) / 3**0.5
    leaf = file.mesh([square(file)], rotation=[*(axis * np.sin(third / 2)), np.cos(third / 2)])
    middle = file.add("nodes", {"scale": [-1, 2, 1], "children": [leaf]})
    top = file.add("nodes", {"matrix": shear.T.reshape(-1).tolist(), "children": [middle], "camera": 0})
    file.tree["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 1}}]
    file.tree["scenes"][0]["nodes"] = [top]
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # x to y to z to x
    want = (SQUARE @ turn.T * [-1, 2, 1]) @ shear[:3, :3].T + shear[:3, 3]
    points, _ = show(file, tmp_path, count=2000)
    np.testing.assert_allclose(points.min(0), want.min(0), atol=0.2)
    np.testing.assert_allclose(points.max(0), want.max(0), atol=0.2)
    across = np.cross(want[1] - want[0], want[3] - want[0])
    np.testing.assert_allclose((points - want[0]) @ across, 0, atol=1e-4)


def test_the_default_scene_of_several(tmp_path: Path) -> None:
    file, said = Gltf(), list[str]()
    for i in range(3):
        file.mesh([square(file)], translation=[10 * i, 0, 0])
    file.tree["scenes"] = [{"nodes": [0]}, {"nodes": [2]}]
    file.tree["scene"] = 1
    points, _ = show(file, tmp_path, said=said)
    assert 19 <= points[:, 0].min() < points[:, 0].max() <= 21
    assert said[0].endswith("a.glb: scene 1 of its 2 scenes is read")
    file.tree.pop("scene")
    assert show(file, tmp_path, said=[])[0][:, 0].max() <= 1
    file.tree.pop("scenes")  # a library of parts: all of them
    assert show(file, tmp_path)[0][:, 0].max() > 19


def test_instances(tmp_path: Path) -> None:
    """EXT_mesh_gpu_instancing: a shift, a quarter turn and a size for each, below the node."""
    file = Gltf()
    file.tree["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    shifts = np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0]], np.float32)
    half = 0.5**0.5
    turns = np.array([[0, 0, 0, 1], [0, half, 0, half], [0, 0, 0, 1]], np.float32)
    sizes = np.array([[1, 1, 1], [1, 1, 1], [2, 1, 1]], np.float32)
    attributes = {"TRANSLATION": shifts, "ROTATION": turns, "SCALE": sizes}
    named = {"attributes": {name: file.accessor(array) for name, array in attributes.items()}}
    more = {"extensions": {"EXT_mesh_gpu_instancing": named}, "scale": [2, 2, 2]}
    file.mesh([square(file)], **more)
    points, _ = show(file, tmp_path, count=1200)
    part = (points[:, 0] / 20).round().astype(int)
    np.testing.assert_allclose(np.bincount(part), [300, 300, 600], atol=3)
    for i, want in enumerate([(2, 2, 0), (0, 2, 2), (4, 2, 0)]):
        away = points[part == i] - [20 * i, 0, 0]
        np.testing.assert_allclose(np.abs(away).max(0), want, atol=0.15)


def test_hidden_nodes(tmp_path: Path) -> None:
    file = Gltf()
    file.tree["extensionsUsed"] = ["KHR_node_visibility"]
    child = file.mesh([square(file)], translation=[9, 0, 0])
    file.mesh([square(file)])
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}, "children": [child]}
    file.tree["scenes"][0]["nodes"] = [file.add("nodes", hidden), 1]
    assert show(file, tmp_path)[0].max() <= 1


def test_morph_targets_with_their_weights(tmp_path: Path) -> None:
    """The node's weights come before the mesh's; weights of 0 change nothing."""
    file = Gltf()
    rise = file.accessor(np.full((4, 3), [0, 0, 4], np.float32))
    file.mesh([square(file, targets=[{"POSITION": rise}, {"POSITION": rise}])])
    file.tree["meshes"][0]["weights"] = [0.0, 0.5]
    np.testing.assert_allclose(show(file, tmp_path)[0][:, 2], 2, atol=1e-6)
    file.tree["nodes"][0]["weights"] = [0.25, 0.5]
    np.testing.assert_allclose(show(file, tmp_path)[0][:, 2], 3, atol=1e-6)


@pytest.mark.parametrize("bound", [False, True])
def test_skins_at_rest(tmp_path: Path, bound: bool) -> None:
    """Joints place the vertices, the mesh's own node does not; animations are said."""
    file, said = Gltf(), list[str]()
    joints = file.accessor(np.array([[0, 1, 0, 0]] * 4, np.uint8))
    weights = file.accessor(np.array([[0.75, 0.25, 0, 0]] * 4, np.float32))
    file.mesh(
        [square(file, attributes={"JOINTS_0": joints, "WEIGHTS_0": weights})], skin=0, translation=[99, 0, 0]
    )
    ends = [file.add("nodes", {"translation": [0, 0, z]}) for z in (4, 8)]
    root = file.add("nodes", {"children": ends, "scale": [2, 2, 2]})
    file.tree["scenes"][0]["nodes"].append(root)
    skin: dict[str, Any] = {"joints": ends}
    if bound:  # bound at z = 1, at full size
        inverse = np.eye(4, dtype=np.float32)
        inverse[2, 3] = -1
        skin["inverseBindMatrices"] = file.accessor(np.stack([inverse.T.reshape(-1)] * 2))
    file.tree["skins"] = [skin]
    file.tree["animations"] = [{"channels": [], "samplers": []}]
    points, _ = show(file, tmp_path, said=said)
    np.testing.assert_allclose(points[:, 2], 0.75 * 8 + 0.25 * 16 - (2 if bound else 0), atol=1e-5)
    np.testing.assert_allclose(np.abs(points[:, :2]).max(0), [2, 2], atol=0.05)
    assert said[0].endswith("its animations are not played; it is read at rest")


# containers ---------------------------------------------------------------------------------------------


def test_files_beside_it_with_percent_signs(tmp_path: Path) -> None:
    """Buffers and images by relative URIs, in other folders, with spaces, % itself, and a byte order mark."""
    file = Gltf()
    (tmp_path / "my textures").mkdir()
    (tmp_path / "my textures" / "100% ü#1.png").write_bytes(png(PICTURE))
    file.mesh([textured(file, TEXCOORD_0=file.accessor(UVS))])
    file.tree["images"] = [{"uri": "my%20textures/100%25%20%C3%BC%231.png"}]
    (tmp_path / "da ta.bin").write_bytes(file.data + b"more than it says")
    file.tree["buffers"] = [{"byteLength": len(file.data), "uri": "da%20ta.bin"}]
    path = tmp_path / "a.gltf"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(file.tree).encode())
    assert corners_of(*points_of(path)) == UPRIGHT
    raw = {"uri": "my textures/100% ü#1.png"}  # not encoded, which is wrong and common
    path.write_text(json.dumps({**file.tree, "images": [raw]}))
    assert corners_of(*points_of(path)) == UPRIGHT
    shutil.copy(path, tmp_path / "text.glb")  # the first bytes decide, not the ending
    assert corners_of(*points_of(tmp_path / "text.glb")) == UPRIGHT


def test_images_as_data_uris(tmp_path: Path) -> None:
    import base64
    from urllib.parse import quote

    for uri in (
        "data:image/png;base64," + base64.b64encode(png(PICTURE)).decode(),
        "data:image/png," + quote(png(PICTURE)),
    ):
        file = Gltf()
        file.mesh([textured(file, TEXCOORD_0=file.accessor(UVS))])
        file.tree["images"] = [{"uri": uri}]
        assert corners_of(*points_of(file.save(tmp_path / "a.gltf"))) == UPRIGHT
