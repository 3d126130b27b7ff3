"""The quality protocol of T3Bench: 162 views on an icosphere, scores averaged over neighbours, the best one.

The average keeps a single good view from deciding.

Source: He et al., "T3Bench: Benchmarking Current Progress in Text-to-3D Generation", 2023, arXiv:2310.02977;
radius, fields of view, three rounds and black background as in its released evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import CameraBatch, intrinsics, look_at
from sctd.errors import InputError
from sctd.evaluate.models import architecture, cut, load
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.render import render_images

SUBDIVISIONS = 2  # 12 => 42 => 162 vertices
RADIUS = 2.2  # of the cameras, in half extents of the object
FOVS_DEG = (60.0, 45.0, 36.0, 30.0, 24.0)  # at each vertex the best counts: objects fill a cube differently
ROUNDS = 3
SIZE = 512
SEEN_OPACITY = 0.1
"""Gaussians with less opacity do not count for the extent, since a mesh has no haze around it."""

Point = tuple[float, float, float]
Face = tuple[int, int, int]


def icosphere(subdivisions: int = SUBDIVISIONS) -> tuple[Tensor, list[list[int]]]:
    """An icosahedron whose faces are cut into four ``subdivisions`` times, pushed out to the unit sphere.

    Returns:
        vertices [n, 3], float64, n = 10 * 4^subdivisions + 2, and the indices of each one's neighbours.
    """
    vertices, faces = _icosahedron()
    for _ in range(subdivisions):
        faces = _subdivided(vertices, faces)
    neighbours: list[set[int]] = [set() for _ in vertices]
    for face in faces:
        for i in face:
            neighbours[i] |= set(face) - {i}
    return torch.tensor(vertices, dtype=torch.float64), [sorted(near) for near in neighbours]


def _icosahedron() -> tuple[list[Point], list[Face]]:
    """(0, +-1, +-golden ratio) and its cyclic permutations; its faces are the triples at edge length."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [(a, b * golden) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    vertices = [_unit(v) for a, b in corners for v in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
    edge = min(math.dist(vertices[0], other) for other in vertices[1:])
    near = [{j for j, w in enumerate(vertices) if 0 < math.dist(v, w) < 1.01 * edge} for v in vertices]
    faces = [(i, j, k) for i in range(12) for j in near[i] for k in near[i] & near[j] if i < j < k]
    return vertices, faces


def _subdivided(vertices: list[Point], faces: list[Face]) -> list[Face]:
    """Each face cut into four; the middles of the edges are appended to ``vertices``."""
    middles: dict[frozenset[int], int] = {}

    def middle(a: int, b: int) -> int:
        key = frozenset((a, b))
        if key not in middles:
            x, y, z = (p + q for p, q in zip(vertices[a], vertices[b], strict=True))
            middles[key] = len(vertices)
            vertices.append(_unit((x, y, z)))
        return middles[key]

    cut: list[Face] = []
    for a, b, c in faces:
        ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
        cut += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return cut


def _unit(v: Point) -> Point:
    length = math.hypot(*v)
    return v[0] / length, v[1] / length, v[2] / length


def averaged(scores: Tensor, neighbours: Sequence[Sequence[int]], rounds: int = ROUNDS) -> Tensor:
    """Each score becomes the mean of itself and its neighbours', ``rounds`` times; [n] => [n], float64."""
    mixing = torch.zeros(len(scores), len(scores), dtype=torch.float64)
    for i, near in enumerate(neighbours):
        mixing[i, [i, *near]] = 1 / (1 + len(near))
    out = scores.double()
    for _ in range(rounds):
        out = mixing @ out
    return out


def cameras(asset: Asset, fov_deg: float, size: int = SIZE) -> CameraBatch:
    """Cameras on all vertices, looking at the middle of an object.

    The benchmark moves its mesh so that the mean vertex is at the origin and the largest coordinate is 1;
    here the cameras move instead, by the vertices of a mesh, or by the centres of the Gaussians that can be
    seen.

    Raises:
        InputError: no Gaussian can be seen.
    """
    directions = icosphere()[0].float()
    points = _points(asset)
    centre = points.mean(0)
    radius = RADIUS * (points - centre).abs().max().clamp_min(1e-3)
    n = len(directions)
    up = torch.tensor([0.0, 1.0, 0.0]).repeat(n, 1)
    up[directions[:, 1].abs() > 0.99] = torch.tensor([0.0, 0.0, 1.0])  # no view is parallel to its up
    target = centre.expand(n, 3)
    fovy = torch.full((n,), math.radians(fov_deg))
    return CameraBatch(
        viewmats=look_at(target + radius * directions, target, up),
        Ks=intrinsics(fovy, size, size),
        width=size,
        height=size,
        azimuth=torch.atan2(directions[:, 0], directions[:, 2]),
        elevation=torch.asin(directions[:, 1].clamp(-1, 1)),
        radius=radius.expand(n),
        fovy=fovy,
    )


def _points(asset: Asset) -> Tensor:
    """Of which the middle and the extent are taken, [n, 3]."""
    if isinstance(asset, Triangles):
        return torch.cat([surface.vertices for surface in asset.surfaces]).float()
    seen = torch.sigmoid(asset.opacities.detach().cpu()) > SEEN_OPACITY
    if not bool(seen.any()):
        raise InputError(f"the asset has no Gaussian of opacity above {SEEN_OPACITY:g}: nothing to look at")
    return asset.means.detach().cpu()[seen]


def quality(asset: Asset, prompt: str, reward: Reward, size: int = SIZE) -> float:
    """The benchmark's raw score of an asset: the best of the averaged scores, in the reward's own unit.

    The published tables show 20 x + 50 of ImageReward's x.
    """
    vertices, neighbours = icosphere()
    best = torch.full((len(vertices),), -math.inf, dtype=torch.float64)
    for fov in FOVS_DEG:
        images = render_images(asset, cameras(asset, fov, size), (0.0, 0.0, 0.0))
        best = torch.maximum(best, reward(prompt, images).double())
    return float(averaged(best, neighbours).max())


class Reward:
    """A model that rates how well a picture shows a text: the higher the better, no unit.

    CLIPModel: the logit of picture and text, as PickScore's checkpoints are used. BlipForImageTextRetrieval:
    the logit of a match less that of none. ImageReward itself is a BLIP with a head of its own, which
    transformers has no class for.
    """

    PROCESSORS = {"CLIPModel": "CLIPProcessor", "BlipForImageTextRetrieval": "BlipProcessor"}  # noqa: RUF012
    BATCH = 16

    def __init__(self, model: Any, processor: Any, kind: str) -> None:
        self._model = model
        self._processor = processor
        self._kind = kind
        self._length = int(model.config.text_config.max_position_embeddings)

    @classmethod
    def load(cls, folder: Path) -> Reward:
        """From a checkpoint folder.

        Raises:
            InputError: it is none, is of another make, or cannot be loaded.
        """
        if not folder.is_dir():
            raise InputError(f"--reward {folder}: no such folder; give the checkpoint of a reward model")
        kind = architecture(folder, "--reward")
        if kind not in cls.PROCESSORS:
            raise InputError(
                f"--reward {folder}: a {kind} is not known as a judge of a picture and a text; "
                f"use one of: {', '.join(cls.PROCESSORS)}"
            )
        import transformers

        classes = getattr(transformers, kind), getattr(transformers, cls.PROCESSORS[kind])
        return cls(*load(*classes, str(folder), "--reward"), kind)

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Texts that are too long for the model, which cuts them off."""
        return cut(self._processor, texts, self._length)

    @torch.no_grad()
    def __call__(self, prompt: str, images: Tensor) -> Tensor:
        """Scores [n] of pictures, uint8 [n, H, W, 3]."""
        pictures = list(images.numpy())
        found = []
        for start in range(0, len(pictures), self.BATCH):
            batch = pictures[start : start + self.BATCH]
            inputs = self._processor(
                text=[prompt] * len(batch),
                images=batch,
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=self._length,
            )
            out = self._model(**inputs)
            if self._kind == "CLIPModel":
                found.append(out.logits_per_image[:, 0])
            else:
                found.append(out.itm_score[:, 1] - out.itm_score[:, 0])
        return torch.cat(found)
