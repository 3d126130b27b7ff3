"""Recognises kind, colour, pattern and view in a picture of the embedded world.

A small convolutional network, trained on scenes with other seeds; the training of the prior does not use it.
It judges samples of the prior and is a smoke test for distilled assets. It saturates: it names even a smeared
object, so benchmarks/quality.py scores shape against the procedural truth instead.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sctd.embedded.captions import view_of
from sctd.embedded.optimizers import adamw
from sctd.embedded.pictures import (
    COLOR_NAMES,
    KIND_NAMES,
    PATTERN_NAMES,
    Views,
    compose,
    random_backgrounds,
    random_colors,
    random_views,
)
from sctd.embedded.training import CPU, Length, Report, Run, step_generator
from sctd.embedded.weights import FOLDER
from sctd.embedded.words import SMALL
from sctd.errors import InputError

WEIGHTS = FOLDER / "recogniser.safetensors"
VIEW_NAMES = ("front", "side", "back", "overhead")
SEED, BATCH = 90_001, 64
SIZE = 64  # pixels of the pictures that it sees
HEADS = {
    "kind": KIND_NAMES,
    "color": COLOR_NAMES,
    "pattern": PATTERN_NAMES,
    "view": VIEW_NAMES,
}


class Recogniser(nn.Module):
    """Pictures [n, 3, 64, 64], 0..1 => logits of every head of HEADS."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for before, width in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU()]
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 256), nn.SiLU())
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(names)) for name, names in HEADS.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.body(images * 2 - 1)
        return {name: head(features) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Verdict:
    """Names that the recogniser gives to one picture."""

    kind: str
    color: str
    pattern: str
    view: str


def recognise(images: Tensor, model: Recogniser | None = None) -> list[Verdict]:
    """Verdicts on pictures [n, 3, H, W], 0..1, of any size; they are resized to 64x64."""
    model = model or load_recogniser()
    if images.shape[-2:] != (SIZE, SIZE):
        images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        best = {name: logits.argmax(1).tolist() for name, logits in model(images.float()).items()}
    return [
        Verdict(*(HEADS[name][i] for name, i in zip(HEADS, row, strict=True)))
        for row in zip(*(best[name] for name in HEADS), strict=True)
    ]


def load_recogniser(path: Path = WEIGHTS) -> Recogniser:
    """The recogniser that ships beside the embedded prior."""
    if not path.exists():
        raise InputError(f"no recogniser at {path}; reinstall sctd, or train one with `sctd prior train`")
    model = Recogniser()
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return model.eval()


def labels_of(views: Views, index: Tensor, color: Tensor, pattern: Tensor) -> dict[str, Tensor]:
    """Indices into the names of every head, for views under colours and patterns."""
    seen = [
        VIEW_NAMES.index("side" if (view := view_of(a, e)) in ("left", "right") else view)
        for a, e in zip(
            views.poses.azimuth[index].tolist(), views.poses.elevation[index].tolist(), strict=True
        )
    ]
    return {"kind": views.kind[index], "color": color, "pattern": pattern, "view": torch.tensor(seen)}


def labelled_pictures(views: Views, n: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """n random pictures [n, 3, 64, 64] and their labels."""
    index = torch.randint(len(views), (n,), generator=generator)
    color = torch.randint(len(COLOR_NAMES), (n,), generator=generator)
    pattern = torch.randint(len(PATTERN_NAMES), (n,), generator=generator)
    images = compose(
        views.maps[index], random_colors(color, generator), pattern, random_backgrounds(n, generator)
    )
    return images, labels_of(views, index, color, pattern)


def _weathered(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts, blur and noise, so that a verdict does not depend on the tracer's sharp edges."""
    dy, dx = (int(v) for v in torch.randint(-4, 5, (2,), generator=generator))
    images = torch.roll(images, (dy, dx), (-2, -1))
    if torch.rand((), generator=generator) < 0.5:
        images = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return images + 0.04 * torch.rand((), generator=generator) * torch.randn(
        images.shape, generator=generator
    )


def train_recogniser(
    folder: Path, length: Length, report: Report, per_kind: int = 300, device: torch.device = CPU
) -> Recogniser:
    """Train on scenes of a separate seed; the result is on the CPU."""
    views = random_views(SEED, per_kind, SIZE)
    torch.manual_seed(SEED)
    model = Recogniser().to(device)
    run = Run("recogniser", folder, model, [adamw(model.parameters(), 2e-3)])
    run.resume()

    def loss_of(step: int) -> Tensor:
        generator = step_generator(SEED, step)
        images, labels = labelled_pictures(views, BATCH, generator)
        labels = {name: values.to(device) for name, values in labels.items()}
        logits = model(_weathered(images, generator).to(device))
        losses = [F.cross_entropy(logits[name], labels[name]) for name in ("kind", "color", "pattern")]
        # A ball has no front: kinds that look alike all round are only judged on overhead.
        fronted = (labels["kind"] < len(SMALL.kinds_with_front)) | (
            labels["view"] == VIEW_NAMES.index("overhead")
        )
        view = F.cross_entropy(logits["view"], labels["view"], reduction="none")
        return torch.stack(losses).sum() + (view * fronted).mean()

    run.train(loss_of, length, report)
    model.load_state_dict(run.ema)
    return model.to(CPU).eval()


def save_recogniser(model: Recogniser, path: Path) -> None:
    """Write the weights, float16."""
    save_file({key: value.half().contiguous() for key, value in model.state_dict().items()}, path)


def measured_accuracy(model: Recogniser, per_kind: int = 40) -> dict[str, float]:
    """Accuracy of every head on scenes of a third seed; the view on kinds with a front."""
    views = random_views(SEED + 1, per_kind, SIZE)
    images, labels = labelled_pictures(views, len(views), step_generator(SEED + 1, 0))
    with torch.no_grad():
        logits = model(images)
    right = {name: logits[name].argmax(1) == labels[name] for name in HEADS}
    fronted = labels["kind"] < len(SMALL.kinds_with_front)
    return {
        name: float((hit[fronted] if name == "view" else hit).float().mean()) for name, hit in right.items()
    }
