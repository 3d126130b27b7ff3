"""The table of glTF extensions: read, without effect on a coloured surface, reported, or refused.

Source: the registry of KhronosGroup/glTF, extensions/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sctd.errors import InputError

READ = frozenset(
    {
        "KHR_materials_pbrSpecularGlossiness",  # its diffuse part
        "KHR_materials_unlit",
        "KHR_materials_emissive_strength",
        "KHR_texture_transform",
        "KHR_mesh_quantization",
        "KHR_node_visibility",
        "EXT_mesh_gpu_instancing",
        "EXT_texture_webp",
        "EXT_texture_avif",
        "KHR_gaussian_splatting",  # by sctd.formats.read_glb, which takes the whole file
    }
)
WITHOUT_EFFECT = frozenset(
    {
        # reflection of a surface, which is not its colour
        *(f"KHR_materials_{k}" for k in ("anisotropy", "clearcoat", "dispersion", "ior", "iridescence")),
        *(f"KHR_materials_{k}" for k in ("sheen", "specular")),
        *("KHR_lights_punctual", "EXT_lights_image_based", "EXT_lights_ies"),
        # requests of programs, and metadata
        *("KHR_animation_pointer", "KHR_node_selectability", "KHR_node_hoverability", "KHR_interactivity"),
        *("KHR_xmp", "KHR_xmp_json_ld", "KHR_audio_emitter", "EXT_mesh_manifold"),
    }
)
SAID = {
    "KHR_materials_transmission": "what is behind glass is not seen through it; it has its base colour",
    "KHR_materials_diffuse_transmission": "light from behind is not read",
    "KHR_materials_volume": "glass has no thickness; it has its base colour",
    "KHR_materials_variants": "the materials of no variant are used",
    "MSFT_lod": "the finest level is used",
}
"""The treatment of an extension by name."""
INSTEAD = {
    "KHR_draco_mesh_compression": "export it without Draco compression",
    "EXT_meshopt_compression": "export it without meshopt compression",
    "KHR_meshopt_compression": "export it without meshopt compression",
    "KHR_texture_basisu": "export its textures as PNG, JPEG or WebP",
    "MSFT_texture_dds": "export its textures as PNG, JPEG or WebP",
}
"""Advice about an extension that is not read."""


def check(tree: dict[str, Any], say: Callable[[str], None]) -> None:
    """Refuse unknown extensions that a file requires; report those that it only uses.

    Raises:
        InputError: the message names the first such extension, and the remedy.
    """
    required = _names(tree, "extensionsRequired")
    for name in required:
        if name not in READ and name not in WITHOUT_EFFECT and name not in SAID:
            raise InputError(f"extensionsRequired names {name}, which is not read; {instead(name)}")
    used = sorted({*required, *_names(tree, "extensionsUsed")})
    for name in used:
        if name in SAID:
            say(f"{name}: {SAID[name]}")
    unknown = [n for n in used if not (n in READ or n in WITHOUT_EFFECT or n in SAID or n in INSTEAD)]
    if unknown:
        say(f"not read: {', '.join(unknown)}")


def instead(name: str) -> str:
    """Advice for a person about an extension that is not read."""
    return INSTEAD.get(name, "export it without that extension")


def _names(tree: dict[str, Any], field: str) -> list[str]:
    names = tree.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{field} is no list of names")
    return names
