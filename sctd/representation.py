"""The interface between the trainer and the optimised object: drawing, its own losses, updates.

Gaussians are one, :class:`sctd.splats.trained.Splats`; meshes are another,
:class:`sctd.mesh.trained.trained.TrainedMesh`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.config import Config
from sctd.machine import transfer
from sctd.stages import Observer


class Picture(Protocol):
    """What :meth:`Representation.draw` gives, and is given back."""

    @property
    def rgb(self) -> Tensor:
        """Colours over the background, [B, 3, H, W], 0..1, differentiable."""
        ...

    @property
    def disparity(self) -> Tensor | None:
        """Its picture, [B, 1, H, W], 0..1, differentiable; None unless it was wanted."""
        ...

    @property
    def latents(self) -> Tensor | None:
        """What to take as latents instead of encoding the colours, [B, C, H, W], differentiable, of any size;
        None: the colours are encoded."""
        ...


@dataclass(frozen=True)
class Term:
    """Weighted losses whose values are partial sums, as kernels produce them."""

    weights: dict[str, float]
    """Of each loss, by the name that the log has for it; 0: it is not wanted."""
    sums: Tensor
    """[P, K]: column k adds up to the k-th loss."""

    @property
    def gradient(self) -> Tensor:
        """Of the weighted losses by the sums, [P, K], to begin a backward pass with."""
        return _row(tuple(self.weights.values()), self.sums.dtype, self.sums.device).expand_as(self.sums)

    def values(self, sums: Tensor) -> dict[str, float]:
        """The weighted losses, from the sums on the CPU."""
        totals = dict(zip(self.weights, sums.sum(0).tolist(), strict=True))
        return {name: weight * totals[name] for name, weight in self.weights.items() if weight}


@lru_cache
def _row(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """On the device once and for all."""
    return transfer.to_device(torch.tensor([weights], dtype=dtype), device)


class Update(NamedTuple):
    """The results of an update."""

    names: list[str]
    """Whose gradients the norms are of; the last is the method's, "z0"."""
    norms: Tensor
    """[len(names)], on the device. Where one is not finite, nothing was changed."""
    known: dict[str, float]
    """Scalars for the log that need no device."""
    dimmed: Tensor | None
    """Whether the colours were lowered, one bool on the device; None where nobody looked."""


P = TypeVar("P", bound=Picture)
R_co = TypeVar("R_co", covariant=True)


class Representation(Protocol[P, R_co]):
    """A thing in memory that a run makes; all randomness comes from the generator that is handed in."""

    observer: Observer

    def draw(
        self,
        cameras: CameraBatch,
        background: Tensor,
        iteration: int,
        generator: torch.Generator,
        *,
        disparity: bool,
    ) -> P:
        """What the cameras see, over colours [B, 3].

        Args:
            disparity: whether the disparity is wanted beside the colours.
        """
        ...

    def complete(self, picture: P) -> bool:
        """Whether nothing is missing in the picture; else it is drawn again. Waits for the rendering."""
        ...

    def terms(self, picture: P) -> list[Term]:
        """The losses of its own."""
        ...

    def update(self, picture: P, iteration: int, grad: Tensor, generator: torch.Generator) -> Update:
        """One step of the optimiser and what follows it, after the backward pass.

        Args:
            grad: the method's gradient of the latents, whose norm decides too whether anything changes.
        """
        ...

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """For a checkpoint: tensors by part, then name."""
        ...

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        """Go back to a state of :meth:`state_dict`."""
        ...

    def seen(self) -> dict[str, Tensor]:
        """For a viewer, :func:`sctd.viewer.window.asset_seen` turns it into an asset: the parameters of
        Gaussians, or :func:`sctd.mesh.trained.colored.at_vertices`. Without gradient."""
        ...

    def result(self) -> R_co:
        """The run's result, without gradient; the next stage begins with it."""
        ...


class Maker(Protocol):
    """A class of representations: an entry of :data:`sctd.registry.REPRESENTATIONS`."""

    def __call__(self, first: Any, config: Config, backend: str) -> Representation[Any, Any]:
        """Begins with the result of another representation, on the device to train on.

        Args:
            config: paced.
            backend: which kernels draw and optimise.

        Raises:
            InputError: it cannot begin with that.
        """
        ...

    def check(self, config: Config, channels: int) -> None:
        """Refuse a prior that cannot be shown what is drawn.

        Args:
            channels: of its latents.

        Raises:
            InputError: one line with the remedy.
        """
        ...

    def first_of(self, state: Mapping[str, dict[str, Tensor]], config: Config) -> Any:
        """A result as it was at a :meth:`Representation.state_dict`."""
        ...
