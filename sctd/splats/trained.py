"""Gaussians in training: rendered, regularised, optimised, densified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.config import Config
from sctd.gaussians import Gaussians
from sctd.machine import transfer
from sctd.render import PairCapacity, Render, render
from sctd.representation import Term, Update
from sctd.splats import regularisers
from sctd.splats.augment import sample_scale_noise
from sctd.splats.optim import GaussianAdam
from sctd.splats.strategies import strategy_for
from sctd.stages import DENSIFY, OPTIMISER, REGULARISERS, RENDER, SAMPLING, SILENT, Observer


@dataclass(frozen=True)
class Drawn:
    """A rendering, with the data that later steps need."""

    rendered: Render
    needed: transfer.Readback | None
    """The number of pairs that it needed."""
    g_means2d: list[Tensor]
    """Gradient of the projected centres, after the backward pass, if densification uses it."""

    @property
    def rgb(self) -> Tensor:
        """See :class:`sctd.representation.Picture`."""
        return self.rendered.rgb

    @property
    def disparity(self) -> Tensor | None:
        """See :class:`sctd.representation.Picture`."""
        return self.rendered.disparity

    @property
    def latents(self) -> None:
        """See :class:`sctd.representation.Picture`: the colours are always encoded."""
        return None


class Splats:
    """Implements :class:`sctd.representation.Representation`."""

    def __init__(self, first: Gaussians, config: Config, backend: str = "auto") -> None:
        """Takes the first Gaussians, on the device to train on; ``config`` is paced.

        Args:
            backend: which kernels render and optimise; see :func:`sctd.ops.rasterization`.
        """
        self.observer: Observer = SILENT
        self.capacity = PairCapacity()
        self._config, self._backend = config, backend
        self._begin(first.with_sh_degree(config.gaussians.sh_degree))

    @staticmethod
    def check(config: Config, channels: int) -> None:
        """See :class:`sctd.representation.Maker`: every prior can encode colours."""

    @staticmethod
    def first_of(state: Mapping[str, dict[str, Tensor]], config: Config) -> Gaussians:
        """The Gaussians of a state of :meth:`state_dict`."""
        return Gaussians.from_state_dict(state["gaussians"])

    def _begin(self, first: Gaussians) -> None:
        self.optimiser = GaussianAdam(first, self._config.optim, self._config.iterations)
        self.strategy = strategy_for(self._config.densify, self.optimiser, self._config.iterations)

    @property
    def gaussians(self) -> Gaussians:
        """The current ones, leaves with gradient."""
        return self.optimiser.gaussians

    def draw(
        self,
        cameras: CameraBatch,
        background: Tensor,
        iteration: int,
        generator: torch.Generator,
        *,
        disparity: bool,
    ) -> Drawn:
        """See :class:`sctd.representation.Representation`."""
        c, rule = self._config.gaussians, self._config.regularisers
        with self.observer.within(SAMPLING):
            scale_noise = sample_scale_noise(c, len(self.gaussians), generator)
        with self.observer.within(RENDER):
            rendered = render(
                self.gaussians,
                cameras,
                background,
                disparity=disparity or rule.tv_disparity > 0,
                variation=rule.tv_rgb > 0 or rule.tv_disparity > 0,
                sh_degree=min(c.sh_degree, iteration // c.sh_raise_every),
                scale_noise=scale_noise,
                capacity=self.capacity.pairs,
                backend=self._backend,
            )
        g_means2d: list[Tensor] = []
        if self.strategy.watches(iteration):
            rendered.meta["means2d"].register_hook(g_means2d.append)
        return Drawn(rendered, self.capacity.needed(rendered), g_means2d)

    def complete(self, picture: Drawn) -> bool:
        """Whether the capacity sufficed for every pair; the next rendering has enough."""
        return not self.capacity.overflowed(picture.needed)

    def terms(self, picture: Drawn) -> list[Term]:
        """Total variation, mean scale and mean opacity, those with a weight."""
        return regularisers.losses(self._config.regularisers, picture.rendered)

    def update(self, picture: Drawn, iteration: int, grad: Tensor, generator: torch.Generator) -> Update:
        """One step of Adam, the bounds, and the changes of densification."""
        c, rendered, observer = self._config, picture.rendered, self.observer
        names = [*self.optimiser.gradients(), "z0"]
        with observer.within(OPTIMISER):
            visible = (rendered.meta["radii"] > 0).any(-1).any(0) if c.optim.sparse else None
            watched = grad.to(self.gaussians.means.dtype)
            norms = self.optimiser.step(iteration, visible=visible, watched=watched, backend=self._backend)
        if picture.g_means2d:
            with observer.within(DENSIFY):
                self.strategy.watch(rendered, picture.g_means2d[0], norms)
        with observer.within(REGULARISERS):
            dimmed = regularisers.limit_brightness(c.regularisers, rendered, self.optimiser, iteration, norms)
            regularisers.keep_in_bounds(self.gaussians, c.gaussians.scale_range, c.gaussians.clamp_colors)
        with observer.within(DENSIFY):
            known = self.strategy.after_step(iteration, generator, norms)
        self.optimiser.zero_grad()
        return Update(names, norms, {**known, "gaussians": float(len(self.gaussians))}, dimmed)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The Gaussians, Adam's moments, and the statistics of densification."""
        return {
            "gaussians": self.gaussians.state_dict(),
            "adam": self.optimiser.state_dict(),
            "statistics": self.strategy.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        """See :class:`sctd.representation.Representation`."""
        self._begin(self.first_of(state, self._config).to(self.gaussians.means.device))
        self.optimiser.load_state_dict(state["adam"])
        self.strategy.load_state_dict(state.get("statistics", {}))

    def seen(self) -> dict[str, Tensor]:
        """See :class:`sctd.representation.Representation`."""
        return {name: p.detach() for name, p in self.result().parameters().items()}

    def result(self) -> Gaussians:
        """The Gaussians without gradient, without the faint ones."""
        return self.gaussians.detach().opaque_from(self._config.gaussians.faint)
