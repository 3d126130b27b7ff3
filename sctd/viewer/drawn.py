"""One asset in viser's scene: Gaussians as splats, a mesh as a .glb; and again when something changes."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import viser
from torch import Tensor

from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Surface, Triangles
from sctd.formats.srgb import srgb_to_linear
from sctd.formats.write_mesh_glb import triangles_glb
from sctd.gaussians import Gaussians
from sctd.viewer.splats import Mode, Splats, depth_greys


class Drawn(Protocol):
    """What the viewer asks of an asset."""

    @property
    def told(self) -> str:
        """What is shown of it, in words."""
        ...

    def depends_on_view(self, mode: Mode) -> bool:
        """Whether its colours change with the camera."""
        ...

    def draw(self, mode: Mode, eye: Tensor, forward: Tensor) -> Any:
        """Bring viser's scene up to date, and return the handle.

        Args:
            eye: [3], where the camera stands, in the asset's axes.
            forward: [3], where it looks, of length 1.
        """
        ...


def drawn(scene: viser.SceneApi, name: str, asset: Asset, threshold: float, before: Drawn | None) -> Drawn:
    """An asset under a name in viser's scene.

    Args:
        threshold: opacity from which Gaussians are shown, 0..1.
        before: what the name stands for so far.
    """
    # A handle is used again, since a run shows something new twice a second.
    if isinstance(asset, Triangles):
        return DrawnMesh(scene, name, asset, before.handle if isinstance(before, DrawnMesh) else None)
    handle = before.handle if isinstance(before, DrawnSplats) else None
    return DrawnSplats(scene, name, asset, threshold, handle)


class DrawnSplats:
    """Gaussians."""

    def __init__(
        self, scene: viser.SceneApi, name: str, gaussians: Gaussians, threshold: float, handle: Any
    ) -> None:
        self._scene, self._name, self.handle = scene, name, handle
        self._splats = Splats.of(gaussians, threshold)
        self.told = f"{len(self._splats):,} of {len(gaussians):,} Gaussians"

    def depends_on_view(self, mode: Mode) -> bool:
        """The colours of degree 0 do not."""
        return mode == "depth" or self._splats.depends_on_view

    def draw(self, mode: Mode, eye: Tensor, forward: Tensor) -> Any:
        """See :class:`Drawn`."""
        splats = self._splats
        colors = splats.colors(mode, eye, forward)
        parts = [t.numpy() for t in (splats.means, splats.covariances, colors, splats.opacities)]
        if self.handle is None:
            self.handle = self._scene.add_gaussian_splats(self._name, *parts)
        else:
            self.handle.set_gaussians(*parts)
        return self.handle


class DrawnMesh:
    """A mesh; coverage and depth are colours of its vertices."""

    def __init__(self, scene: viser.SceneApi, name: str, triangles: Triangles, handle: Any) -> None:
        self._scene, self._name, self._triangles, self.handle = scene, name, triangles, handle
        self._mode: Mode | None = None
        self.told = f"{len(triangles):,} triangles"

    def depends_on_view(self, mode: Mode) -> bool:
        """The depth does."""
        return mode == "depth"

    def draw(self, mode: Mode, eye: Tensor, forward: Tensor) -> Any:
        """See :class:`Drawn`."""
        if mode != self._mode or self.depends_on_view(mode):
            shown = self._triangles if mode == "colour" else self._painted(mode, eye, forward)
            self._mode, data = mode, triangles_glb(shown)
            if self.handle is None:
                self.handle = self._scene.add_glb(self._name, data)
            else:
                self.handle.glb_data = data
        return self.handle

    def _painted(self, mode: Mode, eye: Tensor, forward: Tensor) -> Triangles:
        surfaces = self._triangles.surfaces
        greys = torch.ones(sum(len(s.vertices) for s in surfaces), 3, dtype=torch.float64)
        if mode == "depth":
            places = torch.cat([surface.vertices for surface in surfaces]) - eye.double()
            greys = srgb_to_linear(depth_greys(places @ forward.double()))
        parts = greys.split([len(surface.vertices) for surface in surfaces])
        return Triangles(
            tuple(Surface(s.vertices, s.faces, part) for s, part in zip(surfaces, parts, strict=True))
        )
