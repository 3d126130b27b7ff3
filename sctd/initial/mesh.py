"""Mesh files => coloured triangles, through trimesh.

glTF is y up with the front at +z, as we are, and its colours are linear light (glTF 2.0 specification,
sections 3.4 and 3.9.2); its scene's transforms are applied. OBJ, STL and PLY fix no axes, and their colours
are taken as sRGB, which is what programs write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.extras import need_trimesh
from sctd.initial.surface import Surface, srgb_to_linear


def read_mesh(path: Path, color: tuple[float, float, float], say: Callable[[str], None]) -> list[Surface]:
    """Every triangle of a file, in the file's own units and axes.

    Args:
        path: .glb, .gltf, .obj, .stl, or a .ply with faces.
        color: of what has no colour of its own, sRGB 0..1.
        say: told what the file names and cannot be read, such as a missing texture.

    Raises:
        InputError: trimesh is missing, or the file is damaged or holds no triangles.
    """
    need_trimesh(f"starting from the mesh {path}")
    import trimesh

    with _what_it_swallows() as swallowed:
        try:
            scene = trimesh.load_scene(str(path), process=False)
            parts = [
                (scene.geometry[name], torch.from_numpy(np.array(matrix, np.float64)))
                for matrix, name in map(scene.graph.get, sorted(scene.graph.nodes_geometry))
            ]
            meshes = [(mesh, matrix) for mesh, matrix in parts if isinstance(mesh, trimesh.Trimesh)]
            surfaces = [_surface(mesh, matrix, path, color) for mesh, matrix in meshes]
        except InputError:
            raise
        except Exception as exc:  # parsers of foreign bytes raise whatever the bytes lead them to
            raise InputError(f"it is damaged or no {path.suffix} file ({type(exc).__name__}: {exc})") from exc
    if not sum(len(s.faces) for s in surfaces):
        raise InputError("it holds no triangles" + "".join(f"; {problem}" for problem in swallowed[:1]))
    for problem in swallowed:
        say(f"{path}: {problem}")
    return surfaces


def _surface(mesh: Any, matrix: Tensor, path: Path, color: tuple[float, float, float]) -> Surface:
    vertices = torch.from_numpy(np.array(mesh.vertices, np.float64))
    vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    faces = torch.from_numpy(np.array(mesh.faces, np.int64))
    linear = path.suffix.lower() in (".glb", ".gltf")
    visual = mesh.visual
    if visual.kind == "face":  # each triangle gets corners of its own to carry its colour
        vertices, faces = vertices[faces].reshape(-1, 3), torch.arange(3 * len(faces)).reshape(-1, 3)
        return Surface(vertices, faces, _levels(np.repeat(visual.face_colors, 3, axis=0), linear))
    if visual.kind == "vertex":
        return Surface(vertices, faces, _levels(visual.vertex_colors, linear))
    if visual.kind == "texture":
        return _textured(vertices, faces, visual, linear)
    plain = srgb_to_linear(torch.tensor(color, dtype=torch.float64))
    return Surface(vertices, faces, plain.expand(len(vertices), 3))


def _textured(vertices: Tensor, faces: Tensor, visual: Any, linear: bool) -> Surface:
    """Base colour times vertex colours, where there are some, times the texture."""
    material = visual.material
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    base = getattr(material, "baseColorFactor", None)
    if base is None and image is None:  # an image replaces the diffuse colour of an OBJ, which is often black
        base = getattr(material, "diffuse", None)
    white = np.full(4, 255, np.uint8)
    colors = _levels(white if base is None else base, linear).expand(len(vertices), 3)
    if "color" in visual.vertex_attributes:
        colors = colors * _levels(visual.vertex_attributes["color"], linear)
    if image is None or visual.uv is None:
        return Surface(vertices, faces, colors)
    texture = torch.from_numpy(np.array(image.convert("RGB")))
    uvs = torch.from_numpy(np.array(visual.uv, np.float64))
    if not bool(torch.isfinite(uvs).all()):
        raise InputError("some texture coordinates are not finite")
    return Surface(vertices, faces, colors, uvs, texture)


def _levels(colors: NDArray[Any], linear: bool) -> Tensor:
    """RGB or RGBA of any type [..., 3 or 4] => linear RGB, float64, 0..1."""
    top = float(np.iinfo(colors.dtype).max) if np.issubdtype(colors.dtype, np.integer) else 1.0
    levels = torch.from_numpy(np.array(colors[..., :3], np.float64) / top).clamp(0, 1)
    return levels if linear else srgb_to_linear(levels)


@contextmanager
def _what_it_swallows() -> Iterator[list[str]]:
    """trimesh goes on where a texture, a material or a part cannot be read, and only logs it."""
    problems: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            message = record.getMessage().rstrip("!.")
            lost = message.startswith(("unable", "failed")) or "unsupported" in message
            if lost or cause is not None or record.levelno >= logging.WARNING:
                problems.append(message + (f" ({cause})" if cause else ""))

    log, listener = logging.getLogger("trimesh"), Listener(logging.DEBUG)
    level, propagate = log.level, log.propagate
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield problems
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
        log.propagate = propagate
