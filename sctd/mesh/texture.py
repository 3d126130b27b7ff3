"""Step 4 of 4, second half: the views' colours as one picture on the triangles."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from sctd.mesh.surface import Vertices
from sctd.mesh.texels import Texels, covered_texels
from sctd.mesh.unwrap import Layout
from sctd.mesh.views import Views

SHARPNESS = 6
"""Power of the cosine between a view and the surface: the higher, the fewer views make a colour."""
COSINES = (0.6, 0.15)
"""Between a view and the surface: the least at which a view is asked, and where none sees a place, then."""
COVERED = 0.5


def baked(
    vertices: Vertices, normals: Vertices, layout: Layout, views: Views, size: int, tolerance: float
) -> tuple[NDArray[np.uint8], float]:
    """The picture [size, size, 3] in sRGB, and the share of the surface that no view sees, 0..1.

    Each texel has the colour that :func:`seen_colors` finds. Colours continue beyond the triangles.
    """
    texels = covered_texels(layout.uvs, layout.faces, size)
    places, directions = (on_texels(values, layout, texels) for values in (vertices, normals))
    colors, unseen = seen_colors(places, directions, views, tolerance)
    return picture_of(colors, texels, size), unseen


def on_texels(values: Vertices, layout: Layout, texels: Texels) -> Tensor:
    """Values of vertices [V, 3] at the texels of a layout: [T, 3], float32."""
    corners = layout.source[layout.faces[texels.face]]
    return torch.from_numpy(np.einsum("tk,tkd->td", texels.weights, values[corners])).float()


def picture_of(colors: Tensor, texels: Texels, size: int) -> NDArray[np.uint8]:
    """Colours of texels [T, 3], 0..255, as a picture [size, size, 3]; colours continue beyond them."""
    picture = np.zeros((size * size, 3), np.uint8)
    picture[texels.index] = colors.round().clamp(0, 255).to(torch.uint8).numpy()
    return _spread(picture.reshape(size, size, 3), texels.index)


def seen_colors(places: Tensor, directions: Tensor, views: Views, tolerance: float) -> tuple[Tensor, float]:
    """Colours of places on the surface [T, 3], 0..255, and the share of them that no view sees, 0..1.

    Each is the mean of the colours that the views see there, weighted by the cosine to the power SHARPNESS. A
    view sees a place unless its depth lies more than ``tolerance``, world units, before it. A place that no
    view sees takes the colour of the nearest seen one.

    Args:
        places: [T, 3], world units.
        directions: of the surface there, [T, 3], of any length.
    """
    colors, weights = torch.zeros(len(places), 3), torch.zeros(len(places))
    for least in COSINES:
        left = torch.nonzero(weights == 0).flatten()
        planes = Planes(places[left], torch.nn.functional.normalize(directions[left], dim=1))
        for i in range(len(views.alpha)):
            seen, color, weight = _sight(planes, views, i, least, tolerance)
            colors.index_add_(0, left[seen], color * weight[:, None])
            weights.index_add_(0, left[seen], weight)
    known = weights > 0
    colors = colors / weights.clamp_min(1e-12)[:, None]
    if not bool(known.all()) and bool(known.any()):
        _, nearest = cKDTree(places[known].numpy()).query(places[~known].numpy())
        colors[~known] = colors[known][torch.from_numpy(nearest)]
    return colors, 1 - float(known.float().mean())


class Planes:
    """Places on the surface and its directions there, [T, 3] each."""

    def __init__(self, places: Tensor, directions: Tensor) -> None:
        self.places, self.directions = places, directions
        self._heights = (places * directions).sum(dim=1)

    def facing(self, eye: Tensor, least: float) -> tuple[Tensor, Tensor]:
        """Which of them look at a camera at ``eye``, and their cosines, all above ``least``."""
        above = self.directions @ eye - self._heights  # the distance times the cosine
        candidates = torch.nonzero(above > 0).flatten()
        cosine = above[candidates] / (self.places[candidates] - eye).norm(dim=1)
        steep = cosine > least
        return candidates[steep], cosine[steep]


def _sight(
    planes: Planes, views: Views, i: int, least: float, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Which places a view sees, [n], their colours there, [n, 3], 0..255, and its weight in them, [n]."""
    viewmat, K, size = views.cameras.viewmats[i], views.cameras.Ks[i], views.cameras.width
    facing, cosine = planes.facing(-viewmat[:3, :3].T @ viewmat[:3, 3], least)
    x, y, z = (planes.places[facing] @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(dim=1)
    uv = torch.stack((K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]), dim=1)
    pictures = torch.cat(
        (views.colors[i].float(), views.alpha[i, ..., None], views.depth[i, ..., None]), dim=-1
    ).permute(2, 0, 1)
    read = torch.nn.functional.grid_sample(
        pictures[None], (2 * uv / size - 1)[None, None], align_corners=False, padding_mode="border"
    )[0, :, 0].T
    alpha, depth = read[:, 3], read[:, 4] / read[:, 3].clamp_min(1e-6)
    seen = (alpha > COVERED) & (z < depth + tolerance)
    return facing[seen], read[seen, :3], cosine[seen] ** SHARPNESS


def _spread(picture: NDArray[np.uint8], index: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The colours of the nearest covered texel where none is: filters look beyond seams."""
    empty = np.ones(picture.shape[:2], bool)
    empty.reshape(-1)[index] = False
    rows, columns = distance_transform_edt(empty, return_distances=False, return_indices=True)
    spread: NDArray[np.uint8] = picture[rows, columns]
    return spread
