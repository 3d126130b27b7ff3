"""Check before timing: images and gradients of a rasterizer against the float64 CPU backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd.bench.pairs import Pairs
from sctd.bench.peers import Rasterizer, Scene, Tolerance, ours
from sctd.bench.workload import LEAVES, in_double, make_weights, one_camera


class Job:
    """A rasterizer with a scene and the loss's gradient on its images; has the two calls to time."""

    def __init__(self, rasterizer: Rasterizer, scene: Scene, weights: Tensor) -> None:
        """Args: weights: d loss / d images, [C, H, W, 3], in the scene's dtype."""
        self.rasterizer = rasterizer
        self.leaves = {name: scene[name].clone().requires_grad_() for name in LEAVES}
        whole = {**scene, **self.leaves}
        if rasterizer.cameras_together:
            self._parts = [(whole, weights)]
        else:
            self._parts = [(one_camera(whole, c), weights[c : c + 1]) for c in range(len(weights))]

    @torch.no_grad()
    def forward(self) -> None:
        """Render, keeping nothing for a gradient."""
        for scene, _ in self._parts:
            self.rasterizer.render(scene)

    def forward_backward(self) -> Tensor:
        """Render and take the gradient of every leaf, anew => images [C, H, W, 3]."""
        for leaf in self.leaves.values():
            leaf.grad = None
        images = []
        for scene, weights in self._parts:
            image = self.rasterizer.render(scene)
            torch.autograd.backward(image, weights)
            images.append(image.detach())
        return images[0] if len(images) == 1 else torch.cat(images)

    def gradients(self) -> dict[str, Tensor]:
        """Of the last :meth:`forward_backward`, by leaf; zeros where the rasterizer gave none."""
        return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in self.leaves.items()}

    @property
    def calls(self) -> dict[str, Callable[[], object]]:
        """Measure => call."""
        return {"forward": self.forward, "forward+backward": self.forward_backward}


@dataclass(frozen=True)
class Truth:
    """The expected images and gradients of a scene, in float64, and the pixels to compare."""

    images: Tensor
    gradients: dict[str, Tensor]
    weights: Tensor
    """d loss / d images, float32, 0 at the pixels left out."""
    left_out: Tensor
    """Pixels where rounding decides (:class:`sctd.bench.pairs.Pairs`), [C, H, W] bool."""


def make_truth(scene: Scene, pairs: Pairs) -> Truth:
    """The float64 CPU backend's answer."""
    weights = make_weights(scene["width"], len(scene["viewmats"]))
    weights = torch.where(pairs.undecided[..., None], 0.0, weights)
    job = Job(ours("cpu"), in_double(scene), weights.double())
    return Truth(job.forward_backward(), job.gradients(), weights, pairs.undecided)


@dataclass(frozen=True)
class Agreement:
    """Measured errors, in the units of :class:`sctd.bench.peers.Tolerance`."""

    image: float
    gradient: float
    worst: str
    """The leaf with the largest gradient error."""

    def fault(self, allowed: Tolerance) -> str | None:
        """A text about the error that exceeds the tolerance, or None; NaN exceeds it."""
        if not self.image <= allowed.image:
            return f"image error {self.image:.1e}, at most {allowed.image:.0e} is allowed"
        if not self.gradient <= allowed.gradient:
            return (
                f"gradient error {self.gradient:.1e} in {self.worst}, "
                f"at most {allowed.gradient:.0e} is allowed"
            )
        return None

    def values(self) -> dict[str, float]:
        """For the row."""
        return {"image_error": self.image, "gradient_error": self.gradient}


def agreement(job: Job, truth: Truth) -> Agreement:
    """Run a job once and compare."""
    images = job.forward_backward().double()
    difference = (images - truth.images).abs().amax(-1)
    errors = {
        name: float((g.double() - truth.gradients[name]).norm() / truth.gradients[name].norm())
        for name, g in job.gradients().items()
    }
    worst = max(errors, key=lambda name: errors[name] if errors[name] == errors[name] else float("inf"))
    return Agreement(float(difference.masked_fill(truth.left_out, 0).max()), errors[worst], worst)


def values_of(truth: Truth, pairs: Pairs) -> dict[str, Any]:
    """Numbers of the scene for a row."""
    images = len(truth.images)
    return {
        "pairs_per_image": pairs.contributing / images,
        "left_out_pixels": float(truth.left_out.double().mean()),
    }
