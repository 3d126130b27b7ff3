"""A mesh in training: drawn, regularised, optimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.config import Config
from sctd.errors import InputError, TrainingFailure
from sctd.gaussians import Gaussians
from sctd.mesh.trained.colored import ColoredMesh, Seen, at_vertices, painted
from sctd.mesh.trained.colors import ColorGrid
from sctd.mesh.trained.paints import PAINTS
from sctd.mesh.trained.start import first_mesh
from sctd.mesh.trained.surfaces import Shape
from sctd.ops import AdamGroup, adam_schedule, adam_step_
from sctd.rates import learning_rate
from sctd.representation import Term, Update
from sctd.stages import OPTIMISER, REGULARISERS, RENDER, SILENT, Observer

LATENTS = 4
"""Channels of normals and coverage."""


class DrawnMesh:
    """A rendering, with the shape that it shows."""

    def __init__(self, seen: Seen, shape: Shape, latents: Tensor | None = None) -> None:
        self.rgb, self.disparity, _ = seen
        self.shape = shape
        self.latents = latents


class TrainedMesh:
    """Implements :class:`sctd.representation.Representation`."""

    def __init__(self, first: Gaussians | ColoredMesh, config: Config, backend: str = "auto") -> None:
        """Begins with a mesh, or with the surface of Gaussians, on the device to train on.

        Args:
            config: paced.
            backend: of the triangle ops; see :func:`sctd.ops.triangles.rasterize`.

        Raises:
            InputError: the Gaussians are nowhere opaque enough to have a surface.
        """
        self.observer: Observer = SILENT
        self._config, self._backend = config, backend
        try:
            self._begin(first if isinstance(first, ColoredMesh) else first_mesh(first, config.surface))
        except InputError as exc:
            raise InputError(
                f"{exc}; let the stage before take more iterations, or begin with another"
            ) from exc

    @staticmethod
    def check(config: Config, channels: int) -> None:
        """See :class:`sctd.representation.Maker`: normals and coverage must be able to be latents."""
        c = config.surface
        if c.shown == "normals" and c.latent_share and channels != LATENTS:
            raise InputError(
                f"normals and coverage are {LATENTS} channels, and the prior's latents have {channels}: "
                "they cannot be its latents; set surface.latent_share=0, so that the normal map is encoded"
            )

    @staticmethod
    def first_of(state: Mapping[str, dict[str, Tensor]], config: Config) -> ColoredMesh:
        """The mesh of a state of :meth:`state_dict`."""
        return ColoredMesh(config.surface, state["surface"], ColorGrid(**state["colors"]))

    def _begin(self, first: ColoredMesh) -> None:
        """Optimise a mesh, with the settings of this stage."""
        self._surface = replace(first, settings=self._config.surface).surface()
        lit = self._config.surface.shown == "material"
        colors = first.colors.as_material() if lit else first.colors
        self._colors = ColorGrid(colors.values.detach().clone().requires_grad_(), colors.box)
        self._moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self._parameters().items()
        }

    def _parameters(self) -> dict[str, Tensor]:
        shaping = {} if self._config.surface.shown == "material" else self._surface.parameters
        return {**shaping, "colors": self._colors.values}

    def draw(
        self,
        cameras: CameraBatch,
        background: Tensor,
        iteration: int,
        generator: torch.Generator,
        *,
        disparity: bool,
    ) -> DrawnMesh:
        """See :class:`sctd.representation.Representation`.

        Raises:
            TrainingFailure: the surface has no triangles left.
        """
        with self.observer.within(RENDER):
            shape = self._surface.shape()
            if not len(shape.faces):
                raise TrainingFailure(
                    "the surface has vanished: it has no triangles left; lower its learning rates "
                    "(surface.*.start), or begin with Gaussians that show the object"
                )
            return self._drawn(shape, cameras, background, iteration, disparity)

    def _drawn(
        self, shape: Shape, cameras: CameraBatch, background: Tensor, iteration: int, disparity: bool
    ) -> DrawnMesh:
        """As ``surface.shown`` says; normals and materials as Chen et al. 2023, "Fantasia3D", show them.

        Normal maps are before black. At first the latents are the normals themselves, -1..1, and the
        coverage, 0..1, in this order. A material leaves the surface as it is.
        """
        c = self._config.surface
        normals = c.shown == "normals"
        at_once = normals and iteration < c.latent_share * self._config.iterations
        if c.shown == "material":
            shape = Shape(shape.vertices.detach(), shape.faces)
        seen = painted(
            shape,
            PAINTS[c.shown](shape, self._colors, cameras),
            cameras,
            torch.zeros_like(background) if normals else background,
            supersample=c.supersample,
            disparity=disparity or at_once,
            backend=self._backend,
        )
        if not at_once:
            return DrawnMesh(seen, shape)
        assert seen.coverage is not None
        return DrawnMesh(seen, shape, torch.cat((2 * seen.rgb - 1, seen.coverage), dim=1))

    def complete(self, picture: DrawnMesh) -> bool:
        """Always."""
        return True

    def terms(self, picture: DrawnMesh) -> list[Term]:
        """Normal consistency and the Laplacian, where one has a weight."""
        c = self._config.surface
        weights = {"normals": c.normals, "laplacian": c.laplacian}
        if c.shown == "material" or not any(weights.values()):
            return []
        return [Term(weights, self._surface.roughness(picture.shape)[None])]

    def update(self, picture: DrawnMesh, iteration: int, grad: Tensor, generator: torch.Generator) -> Update:
        """One step of Adam, and the bounds."""
        c, parameters = self._config, self._parameters()
        groups = {}
        for name, p in parameters.items():
            gradient = torch.zeros_like(p) if p.grad is None else p.grad
            groups[name] = AdamGroup(p.detach(), gradient, *self._moments[name])
        rates = [learning_rate(getattr(c.surface, name), iteration, c.iterations) for name in groups]
        beta1, beta2, eps = c.optim.beta1, c.optim.beta2, c.optim.eps
        schedule = adam_schedule(rates, step=iteration + 1, beta1=beta1, beta2=beta2, device=grad.device)
        watched = grad.to(self._colors.values.dtype)
        with self.observer.within(OPTIMISER):
            norms = adam_step_(
                list(groups.values()), schedule, beta1=beta1, beta2=beta2, eps=eps, watched=watched
            )
        with self.observer.within(REGULARISERS), torch.no_grad():
            self._surface.keep_in_bounds()
            self._colors.values.clamp_(0, 1)
        for p in parameters.values():
            p.grad = None
        return Update([*groups, "z0"], norms, {"faces": float(len(picture.shape.faces))}, None)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The surface, the colours and Adam's moments."""
        result = self.result()
        return {
            "surface": dict(result.tensors),
            "colors": {"values": result.colors.values, "box": result.colors.box},
            "adam": {
                f"{moment}.{name}": pair[k]
                for name, pair in self._moments.items()
                for k, moment in enumerate(("exp_avg", "exp_avg_sq"))
            },
        }

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        """See :class:`sctd.representation.Representation`."""
        device = self._colors.values.device
        there: dict[str, dict[str, Any]] = {
            part: {name: t.to(device) for name, t in tensors.items()} for part, tensors in state.items()
        }
        self._begin(self.first_of(there, self._config))
        for name, pair in self._moments.items():
            for moment, kept in zip(pair, ("exp_avg", "exp_avg_sq"), strict=True):
                moment.copy_(there["adam"][f"{kept}.{name}"])

    @torch.no_grad()
    def seen(self) -> dict[str, Tensor]:
        """See :class:`sctd.representation.Representation`."""
        return at_vertices(self._surface.shape(), self._colors)

    def result(self) -> ColoredMesh:
        """The mesh without gradient."""
        tensors = {
            name: t.detach() for name, t in {**self._surface.parameters, **self._surface.fixed}.items()
        }
        colors = ColorGrid(self._colors.values.detach(), self._colors.box)
        return ColoredMesh(self._config.surface, tensors, colors)
