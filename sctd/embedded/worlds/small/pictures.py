"""Pictures of the small world: colours, patterns and backgrounds over traced light maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.pictures import FOV_DEG, RADIUS, random_backgrounds
from sctd.embedded.poses import Poses, camera_matrices
from sctd.embedded.traced import CPU, SIZE, Maps, Pictures, TracedViews, cut, in_memory
from sctd.embedded.worlds.small.scenes import CHANNELS, scene_of
from sctd.embedded.worlds.small.words import SMALL, Subject

KIND_NAMES, COLOR_NAMES, PATTERN_NAMES = tuple(SMALL.kinds), tuple(SMALL.colors), tuple(SMALL.patterns)
RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.09, 0.09),
    "orange": (0.98, 0.50, 0.06),
    "yellow": (0.97, 0.88, 0.12),
    "green": (0.13, 0.62, 0.17),
    "cyan": (0.10, 0.80, 0.84),
    "blue": (0.12, 0.24, 0.90),
    "purple": (0.52, 0.16, 0.74),
    "pink": (0.99, 0.52, 0.74),
    "brown": (0.43, 0.25, 0.11),
    "white": (0.97, 0.97, 0.97),
    "grey": (0.50, 0.50, 0.51),
    "black": (0.07, 0.07, 0.08),
}
_BODY, _STRIPE, _SPOT, _SHINE, _COVERAGE = (
    CHANNELS.index(name) for name in ("body", "stripe", "spot", "shine", "coverage")
)


@dataclass(frozen=True)
class Views(TracedViews):
    """Traced views: their light maps uint8 [n, 8, size, size] (scenes.CHANNELS), what they show (index into
    KIND_NAMES, [n]) and their cameras. Colour, pattern and background are drawn for each picture."""

    maps: Maps
    kind: Tensor
    poses: Poses

    def __len__(self) -> int:
        return len(self.maps)

    def on(self, device: torch.device) -> Views:
        return Views(in_memory(self.maps, device), self.kind, self.poses)

    def draw(
        self, n: int, generator: torch.Generator, crop: int | None = None, device: torch.device = CPU
    ) -> Pictures:
        index = torch.randint(len(self), (n,), generator=generator)
        color = torch.randint(len(COLOR_NAMES), (n,), generator=generator)
        pattern = torch.randint(len(PATTERN_NAMES), (n,), generator=generator)
        maps = cut(self.maps[index], crop, generator)
        rgb, grey = random_colors(color, generator), random_backgrounds(n, generator)
        images = compose(maps.to(device), rgb.to(device), pattern.to(device), grey.to(device))
        said = zip(self.kind[index].tolist(), color.tolist(), pattern.tolist(), strict=True)
        subjects = [Subject(KIND_NAMES[k], COLOR_NAMES[c], PATTERN_NAMES[p]) for k, c, p in said]
        return Pictures(images, self.poses[index].over(grey), subjects)


def trace_poses(kind: str, poses: Poses, size: int = SIZE) -> Tensor:
    """Light maps of one kind, uint8 [n, 8, size, size]."""
    maps = scene_of(kind).trace(*camera_matrices(poses, size), size)
    return torch.from_numpy((maps.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def trace_views(
    kind: str,
    azimuths: Sequence[float],
    elevations: Sequence[float],
    radii: Sequence[float],
    size: int = SIZE,
) -> Tensor:
    """Light maps of one kind, uint8 [n, 8, size, size], with a field of view of FOV_DEG; angles in rad."""
    fields = [math.radians(FOV_DEG)] * len(azimuths)
    numbers = (azimuths, elevations, radii, fields)
    return trace_poses(kind, Poses(*(torch.tensor(x, dtype=torch.float64) for x in numbers)), size)


def random_views(seed: int, per_kind: int, size: int = SIZE, threads: int = 2) -> Views:
    """``per_kind`` views of every kind: azimuth all round, elevation -10..45 deg, a quarter 45..88 deg."""
    rng = np.random.default_rng(seed)
    shape = (len(KIND_NAMES), per_kind)
    azimuth = rng.uniform(-math.pi, math.pi, shape)
    high = rng.random(shape) < 0.25
    elevation = np.radians(np.where(high, rng.uniform(45, 88, shape), rng.uniform(-10, 45, shape)))
    radius = rng.uniform(*RADIUS, shape)
    with ThreadPoolExecutor(threads) as pool:  # the tracer lets go of the interpreter lock
        columns = (azimuth.tolist(), elevation.tolist(), radius.tolist())
        maps = list(pool.map(partial(trace_views, size=size), KIND_NAMES, *columns))
    numbers = (azimuth, elevation, radius, np.full(shape, math.radians(FOV_DEG)))
    return Views(
        torch.cat(maps),
        torch.arange(len(KIND_NAMES)).repeat_interleave(per_kind),
        Poses(*(torch.from_numpy(x.ravel()).float() for x in numbers)),
    )


def compose(maps: Tensor, rgb: Tensor, pattern: Tensor, background: Tensor) -> Tensor:
    """Light maps => pictures.

    Args:
        maps: uint8 [n, 8, H, W]. rgb: the body's colour [n, 3], 0..1. pattern: [n], index into PATTERN_NAMES.
        background: RGB [n, 3], 0..1.

    Returns:
        float32 [n, 3, H, W], 0..1. Stripes and spots are white, on a light body black; shine adds a
        white highlight.
    """
    light = maps.float() / 255
    fixed, body = light[:, :3], light[:, _BODY : _BODY + 1]

    def is_pattern(name: str) -> Tensor:
        return (pattern == PATTERN_NAMES.index(name)).float()[:, None, None, None]

    second = light[:, _STRIPE : _STRIPE + 1] * is_pattern("striped") + light[
        :, _SPOT : _SPOT + 1
    ] * is_pattern("spotted")
    contrast = torch.where(
        rgb.mean(1, keepdim=True) > 0.8, torch.full_like(rgb, 0.08), torch.full_like(rgb, 0.97)
    )
    shine = light[:, _SHINE : _SHINE + 1] * is_pattern("shiny")
    image = fixed + rgb[..., None, None] * (body - second) + contrast[..., None, None] * second + shine
    return (image + (1 - light[:, _COVERAGE : _COVERAGE + 1]) * background[..., None, None]).clamp(0, 1)


def picture_of(subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
    """The subject from these cameras: pictures [n, 3, size, size] over their backgrounds and coverage [n,
    size, size], 0..1."""
    n = len(cameras)
    poses = Poses(cameras.azimuth, cameras.elevation, cameras.radius, cameras.fovy)
    maps = trace_poses(subject.kind, poses, size)
    rgb = torch.tensor([RGB[subject.color]]).expand(n, 3)
    pattern = torch.full((n,), PATTERN_NAMES.index(subject.pattern))
    return compose(maps, rgb, pattern, cameras.background), maps[:, _COVERAGE].float() / 255


def random_colors(color: Tensor, generator: torch.Generator) -> Tensor:
    """Shades [n, 3] of the colours with index ``color`` [n]: brightness +-6%, each channel +-0.02."""
    base = torch.tensor([RGB[name] for name in COLOR_NAMES])[color]
    brightness = 1 + 0.06 * (2 * torch.rand(len(color), 1, generator=generator) - 1)
    return (base * brightness + 0.02 * (2 * torch.rand(len(color), 3, generator=generator) - 1)).clamp(0, 1)
