"""A surface with colours => triangles with a texture, for a file."""

from __future__ import annotations

import numpy as np
import torch

from sctd.config.mesh import MeshSettings
from sctd.errors import InputError
from sctd.mesh.extract import Extracted
from sctd.mesh.texels import covered_texels
from sctd.mesh.texture import on_texels, picture_of
from sctd.mesh.trained.colored import ColoredMesh
from sctd.mesh.triangles import decimated, largest_piece, open_edges, vertex_normals
from sctd.mesh.unwrap import unwrapped


@torch.no_grad()
def finished(mesh: ColoredMesh, wish: MeshSettings) -> Extracted:
    """The mesh with its colours as a texture, for a file: its largest piece, of so many triangles at most.

    Raises:
        InputError: it has no triangles.
    """
    shape = mesh.surface().shape()
    if not len(shape.faces):
        raise InputError("no mesh can be made: the surface has no triangles left")
    vertices = shape.vertices.cpu().double().numpy()
    vertices, faces, dropped = largest_piece(vertices, shape.faces.cpu().numpy().astype(np.int32))
    vertices, faces = decimated(vertices, faces, wish.faces)
    layout = unwrapped(vertices, faces, wish.texture)
    texels = covered_texels(layout.uvs, layout.faces, wish.texture)
    places = on_texels(vertices, layout, texels).to(mesh.colors.values.device)
    values = 255 * mesh.colors.at(places).cpu()
    gloss = None
    if mesh.colors.is_material:
        packed = torch.cat((torch.full_like(values[:, :1], 255), values[:, 3:]), dim=1)
        gloss = picture_of(packed, texels, wish.texture)
    picture = picture_of(values[:, :3], texels, wish.texture)
    made = layout.mesh(vertices, vertex_normals(vertices, faces), picture, gloss)
    return Extracted(made, dropped, 0, open_edges(faces), 0.0)
