"""Answers a world's questions about a picture: its kind, its colour, its view and more.

A small convolutional network, trained on scenes with other seeds; the training of the prior does not use it.
It judges samples of the prior and is a smoke test for distilled assets. It saturates: it names even a smeared
object, so benchmarks/quality.py scores shape against the procedural truth instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sctd.embedded.heads import Questions, asked_of, shares_right
from sctd.embedded.optimizers import adamw
from sctd.embedded.training import CPU, Length, Report, Run, step_generator
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import world_of
from sctd.errors import InputError

RECOGNISER = "recogniser.safetensors"
"""Beside the weights of the prior."""
SEED, BATCH = 90_001, 64
EXAMINED = 2 / 15  # scenes of the examination, as a part of those of the training


class Recogniser(nn.Module):
    """Pictures [n, 3, size, size], 0..1 => logits of every head of its world's questions."""

    def __init__(self, questions: Questions) -> None:
        super().__init__()
        self.questions = questions
        layers: list[nn.Module] = []
        for before, width in itertools.pairwise((3, *questions.widths)):
            layers += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU()]
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(questions.widths[-1] * 16, 256), nn.SiLU())
        self.heads = nn.ModuleDict(
            {name: nn.Linear(256, len(head.names)) for name, head in questions.heads.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.body(images * 2 - 1)
        return {name: head(features) for name, head in self.heads.items()}

    def loss(self, logits: Mapping[str, Tensor], answers: list[dict[str, Any]]) -> Tensor:
        """Sum over the heads of the mean over pictures."""
        losses = []
        for name, head in self.questions.heads.items():
            target = head.target([answer[name] for answer in answers]).to(logits[name].device)
            losses.append(head.loss(logits[name], target))
        return torch.stack(losses).sum()


@dataclass(frozen=True)
class Verdict:
    """What the recogniser answers about one picture."""

    answers: Mapping[str, Any]
    """By head."""

    @property
    def kind(self) -> str:
        return str(self.answers["kind"])

    @property
    def color(self) -> str:
        return str(self.answers["color"])


def recognise(images: Tensor, model: Recogniser | None = None) -> list[Verdict]:
    """Verdicts on pictures [n, 3, H, W], 0..1, of any size; they are resized to the recogniser's."""
    model = model or load_recogniser()
    size = model.questions.size
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        logits = model(images.float())
    said = {name: head.answers(logits[name]) for name, head in model.questions.heads.items()}
    return [Verdict(dict(zip(said, row, strict=True))) for row in zip(*said.values(), strict=True)]


def load_recogniser(folder: Path = FOLDER) -> Recogniser:
    """The recogniser of the weights in a folder, for their world; the shipped one by default.

    Raises:
        InputError: there is none.
    """
    path = folder / RECOGNISER
    if not path.exists():
        raise InputError(
            f"no recogniser at {path}; reinstall sctd, or let `sctd prior train` end, which makes one last"
        )
    model = Recogniser(world_of(folder).questions)
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return model.eval()


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
    questions: Questions,
    folder: Path,
    length: Length,
    report: Report,
    share: float = 1.0,
    device: torch.device = CPU,
) -> Recogniser:
    """Train on scenes of a separate seed; the result is on the CPU.

    Args:
        share: of the scenes that the world gives, for tests.
    """
    views = questions.scenes(folder / "recogniser", SEED, share, report)
    torch.manual_seed(SEED)
    model = Recogniser(questions).to(device)
    run = Run("recogniser", folder, model, [adamw(model.parameters(), 2e-3)])
    run.resume()

    def loss_of(step: int) -> Tensor:
        generator = step_generator(SEED, step)
        pictures = views.draw(BATCH, generator)
        logits = model(_weathered(pictures.images, generator).to(device))
        return model.loss(logits, asked_of(questions, pictures))

    run.train(loss_of, length, report)
    model.load_state_dict(run.ema)
    return model.to(CPU).eval()


def save_recogniser(model: Recogniser, path: Path) -> None:
    """Write the weights, float16."""
    save_file({key: value.half().contiguous() for key, value in model.state_dict().items()}, path)


def measured_accuracy(
    model: Recogniser, folder: Path, report: Report, share: float = EXAMINED
) -> dict[str, float]:
    """The share of right answers of every head on scenes of a third seed.

    Args:
        folder: may keep the scenes. share: of the scenes that the world gives for training.
    """
    questions = model.questions
    views = questions.scenes(folder / "examination", SEED + 1, share, report)
    pictures = views.draw(len(views), step_generator(SEED + 1, 0))
    verdicts = [v for part in pictures.images.split(256) for v in recognise(part, model)]
    answers = [verdict.answers for verdict in verdicts]
    return shares_right(questions.heads, pictures.subjects, answers, asked_of(questions, pictures))
