"""glTF: colours and opacities that the specification gives, worked out here with numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gltf_scenes import (
    PICTURE,
    UVS,
    corners_of,
    material,
    show,
    square,
)
from mesh_files import Gltf, png
from numpy.typing import NDArray
from starts import to_linear, to_srgb

from sctd.errors import InputError


@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
@pytest.mark.parametrize("width", [3, 4])
def test_vertex_colours_are_linear(tmp_path: Path, kind: str, width: int) -> None:
    """Times the factor, in linear light; an opaque material ignores the fourth number."""
    file = Gltf()
    level = np.array([0.25, 0.5, 1.0, 0.5])[:width]
    top = 1.0 if kind == "f4" else float(np.iinfo(kind).max)
    stored = (level * top).astype(kind)
    padded = np.zeros((4, 4), kind)
    padded[:, :width] = stored
    color = file.accessor(padded, type=f"VEC{width}", normalized=kind != "f4")
    file.tree["bufferViews"][-1]["byteStride"] = 4 * np.dtype(kind).itemsize
    base = {"baseColorFactor": [0.5, 0.5, 0.5, 0.5]}
    file.mesh([square(file, attributes={"COLOR_0": color}, **material(file, base))])
    _, colors = show(file, tmp_path)
    want = to_srgb(0.5 * stored[:3].astype(float) / top)
    np.testing.assert_allclose(colors, [want] * 400, atol=1e-5)


def test_colour_is_texture_times_factor_times_vertex(tmp_path: Path) -> None:
    file = Gltf()
    index = file.texture(np.full((2, 2, 3), [200, 100, 50], np.uint8))
    base = {"baseColorTexture": {"index": index}, "baseColorFactor": [0.5, 1, 0.25, 1]}
    vertex = file.accessor(np.full((4, 3), [1, 0.5, 1], np.float32))
    attributes = {"TEXCOORD_0": file.accessor(UVS), "COLOR_0": vertex}
    file.mesh([square(file, attributes=attributes, **material(file, base))])
    _, colors = show(file, tmp_path)
    want = to_srgb(to_linear(np.array([200, 100, 50]) / 255) * [0.5, 0.5, 0.25])
    np.testing.assert_allclose(colors, [want] * 400, atol=1e-5)


def test_glow_is_added(tmp_path: Path) -> None:
    """emissiveFactor times its strength and texture; one whose image is missing does not glow white."""
    file, said = Gltf(), list[str]()
    base = {"baseColorFactor": [0.1, 0.2, 0.0, 1.0]}
    strong = {"KHR_materials_emissive_strength": {"emissiveStrength": 3.0}}
    glowing = material(file, base, emissiveFactor=[0.1, 0.0, 0.2], extensions=strong)
    index = file.texture(np.full((1, 1, 3), 128, np.uint8))
    lit = material(file, base, emissiveFactor=[1, 1, 1], emissiveTexture={"index": index})
    lost = material(file, base, emissiveFactor=[1, 1, 1], emissiveTexture={"index": file.texture("gone.png")})
    uv = {"TEXCOORD_0": file.accessor(UVS)}
    for i, chosen in enumerate((glowing, lit, lost)):
        file.mesh([square(file, attributes=uv, **chosen)], translation=[10 * i, 0, 0])
    points, colors = show(file, tmp_path, said=said)
    part = (points[:, 0] / 10).round().astype(int)
    half = to_linear(128 / 255)
    linear = np.array([[0.4, 0.2, 0.6], [0.1 + half, 0.2 + half, half], [0.1, 0.2, 0.0]])
    np.testing.assert_allclose(colors, to_srgb(linear)[part], atol=1e-5)
    assert "images[1] cannot be read and is left out: images[1].uri names 'gone.png'" in said[0]


def test_unlit_and_what_only_light_shows(tmp_path: Path) -> None:
    """Their base colour; extensions about light may even be required."""
    file = Gltf()
    names = ["KHR_materials_unlit", "KHR_materials_clearcoat", "KHR_lights_punctual"]
    file.tree["extensionsRequired"] = file.tree["extensionsUsed"] = names
    base = {"baseColorFactor": [0.2, 0.4, 0.6, 1], "metallicFactor": 1.0, "roughnessFactor": 0.0}
    more = {name: {} for name in names[:2]}
    file.mesh([square(file, **material(file, base, extensions=more, doubleSided=True))])
    _, colors = show(file, tmp_path)
    np.testing.assert_allclose(colors, [to_srgb(np.array([0.2, 0.4, 0.6]))] * 400, atol=1e-5)


def test_specular_glossiness_has_its_diffuse_colour(tmp_path: Path) -> None:
    file, said = Gltf(), list[str]()
    name = "KHR_materials_pbrSpecularGlossiness"
    file.tree["extensionsRequired"] = [name]
    picture = {"diffuseTexture": {"index": file.texture(PICTURE)}, "diffuseFactor": [0.5, 1, 1, 1]}
    uv = {"TEXCOORD_0": file.accessor(UVS)}
    other = {"baseColorFactor": [0, 0, 0, 1]}
    file.mesh([square(file, attributes=uv, **material(file, other, extensions={name: picture}))])
    half = float(to_srgb(0.5))
    seen = corners_of(*show(file, tmp_path))
    assert seen["tl"] == pytest.approx([half, 0, 0], abs=1e-4)
    assert seen["br"] == pytest.approx([half, 1, 0], abs=1e-4)
    metal = {"diffuseFactor": [0, 0, 0, 1], "specularFactor": [1, 0.8, 0]}
    file.mesh([square(file, **material(file, extensions={name: metal}))])
    show(file, tmp_path, said=said)
    assert "materials[1]: its diffuse colour is black; a metal's specular one is not read" in said[0]


def test_materials_that_state_nothing_are_white_and_none_is_init_color(tmp_path: Path) -> None:
    file = Gltf()
    file.mesh([square(file, **material(file))])
    _, colors = show(file, tmp_path)
    np.testing.assert_allclose(colors, 1.0, atol=1e-6)
    file.tree["meshes"][0]["primitives"][0].pop("material")
    _, colors = show(file, tmp_path, init_color=(0.1, 0.2, 0.3))
    np.testing.assert_allclose(colors, [[0.1, 0.2, 0.3]] * 400, atol=1e-6)


IMAGES = {
    "palette": (
        png(np.array([[0, 1]], np.uint8), palette=bytes([255, 0, 0, 0, 0, 255])),
        (1, 0, 0),
        (0, 0, 1),
    ),
    "grey": (png(np.array([[51, 204]], np.uint8)), (0.2,) * 3, (0.8,) * 3),
    "grey and opacity": (png(np.array([[[51, 9], [204, 9]]], np.uint8)), (0.2,) * 3, (0.8,) * 3),
    "16 bits grey": (png(np.array([[0x3333, 0xCCCC]], np.uint16)), (0.2,) * 3, (0.8,) * 3),
    "16 bits": (
        png(np.array([[[0xFFFF, 0, 0x3333], [0, 0xCCCC, 0]]], np.uint16)),
        (1, 0, 0.2),
        (0, 0.8, 0),
    ),
    "16 bits and opacity": (
        png(np.array([[[0xFFFF, 0, 0x3333, 9], [0, 0xCCCC, 0, 9]]], np.uint16)),
        (1, 0, 0.2),
        (0, 0.8, 0),
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_every_depth(tmp_path: Path, name: str) -> None:
    """Opacity in the image of an opaque material is ignored."""
    file = Gltf()
    data, left, right = IMAGES[name]
    base = {"baseColorTexture": {"index": file.texture(data, magFilter=9728)}}
    file.mesh([square(file, attributes={"TEXCOORD_0": file.accessor(UVS)}, **material(file, base))])
    points, colors = show(file, tmp_path)
    np.testing.assert_allclose(colors, np.where(points[:, :1] < 0, left, right), atol=1e-5)


@pytest.mark.parametrize("extension", ["EXT_texture_webp", "EXT_texture_avif"])
def test_other_image_formats(tmp_path: Path, extension: str) -> None:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.new("RGB", (16, 16), (0, 255, 0)).save(stream, extension[-4:], quality=100)
    file = Gltf()
    file.tree["extensionsRequired"] = [extension]
    source = file.image(stream.getvalue())
    index = file.add("textures", {"extensions": {extension: {"source": source}}})
    base = {"baseColorTexture": {"index": index}}
    file.mesh([square(file, attributes={"TEXCOORD_0": file.accessor(UVS)}, **material(file, base))])
    _, colors = show(file, tmp_path)
    np.testing.assert_allclose(colors, [[0, 1, 0]] * 400, atol=0.03)


# opacity ------------------------------------------------------------------------------------------------


def half_clear(level: int) -> NDArray[np.uint8]:
    """Green; the lower half with an opacity of 0..255."""
    picture = np.full((64, 64, 4), [0, 255, 0, 255], np.uint8)
    picture[32:, :, 3] = level
    return picture


@pytest.mark.parametrize(
    ("mode", "cutoff", "level", "share"),
    [
        ("OPAQUE", None, 0, 1.0),
        ("MASK", None, 100, 0.0),
        ("MASK", None, 200, 1.0),
        ("MASK", 0.9, 200, 0.0),
        ("MASK", 0.3, 100, 1.0),
        ("BLEND", None, 0, 0.0),
        ("BLEND", None, 51, 0.2),
        ("BLEND", None, 255, 1.0),
    ],
)
def test_alpha_modes(tmp_path: Path, mode: str, cutoff: float | None, level: int, share: float) -> None:
    """What is cut out has no points; what blends has as many as it is opaque."""
    file = Gltf()
    base = {"baseColorTexture": {"index": file.texture(half_clear(level))}}
    more = {"alphaMode": mode, **({} if cutoff is None else {"alphaCutoff": cutoff})}
    file.mesh([square(file, attributes={"TEXCOORD_0": file.accessor(UVS)}, **material(file, base, **more))])
    points, colors = show(file, tmp_path, count=1000)
    lower, upper = (points[:, 1] < -0.05).sum(), (points[:, 1] > 0.05).sum()
    assert len(points) == 1000
    assert lower / upper == pytest.approx(share, abs=0.05)
    np.testing.assert_allclose(colors[:, [0, 2]], 0, atol=1e-6)


def test_opacity_of_factor_and_vertices(tmp_path: Path) -> None:
    """0.5 times 0 on the left and 1 on the right: the points are three quarters to the right."""
    file = Gltf()
    tint = file.accessor(np.array([[1, 1, 1, a] for a in (0, 1, 1, 0)], np.float32))
    chosen = material(file, {"baseColorFactor": [1, 1, 1, 0.5]}, alphaMode="BLEND")
    file.mesh([square(file, attributes={"COLOR_0": tint}, **chosen)])
    points, _ = show(file, tmp_path, count=2000)
    assert len(points) == 2000
    assert (points[:, 0] > 0).mean() == pytest.approx(0.75, abs=0.03)


def test_a_clear_material_leaves_nothing_and_it_is_said(tmp_path: Path) -> None:
    file, said = Gltf(), list[str]()
    clear = material(file, {"baseColorFactor": [1, 0, 0, 0]}, alphaMode="BLEND")
    file.mesh([square(file, **clear)], translation=[50, 0, 0])
    with pytest.raises(InputError, match="nothing of it can be seen: its materials are clear"):
        show(file, tmp_path)
    file.mesh([square(file)])
    points, _ = show(file, tmp_path, said=said, init_fit=True, init_radius=1.0)
    assert said == [f"{tmp_path / 'a.glb'}: 1 of its 2 parts are clear and left out"]
    assert np.abs(points).max() == pytest.approx(0.5**0.5, abs=0.02)  # fitted without it


def test_next_to_nothing_to_see(tmp_path: Path) -> None:
    file = Gltf()
    speck = half_clear(0)
    speck[:, :, 3] = 0
    base = {"baseColorTexture": {"index": file.texture(speck)}}
    uv = {"TEXCOORD_0": file.accessor(UVS)}
    file.mesh([square(file, attributes=uv, **material(file, base, alphaMode="MASK"))])
    with pytest.raises(InputError, match="less than a thousandth of it can be seen"):
        show(file, tmp_path, count=50)
