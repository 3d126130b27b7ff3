"""Scores a distilled asset against the procedural truth: silhouette, colours, and a single front.

The recogniser saturates on smeared objects; the truth does not. This compares every view with the traced
object from the same camera and from all other azimuths: a two-faced or smeared asset matches a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from sctd.cameras import Viewpoints, orbit_cameras
from sctd.embedded.named import Named
from sctd.embedded.pictures import FOV_DEG
from sctd.embedded.recogniser import Recogniser, load_recogniser
from sctd.embedded.subject import Subject
from sctd.embedded.traced import SIZE
from sctd.embedded.world import world_named
from sctd.evaluate.saturation import saturation
from sctd.formats.assets import Asset
from sctd.render import look_at_asset

ELEVATION_DEG, RADIUS = 15.0, 3.3  # inside the range that the prior was trained on
AZIMUTHS = 24  # azimuths of the truth; the asset is looked at from every third
MATCH_DEG = 45.0  # a best match this near to the right azimuth is right
BACKGROUND = 0.8  # grey: both a white and a black object stand out


@dataclass(frozen=True)
class Score:
    """One asset against its truth; means over the views."""

    iou: float
    """Of the silhouettes (alpha above a half), 0..1."""
    psnr: float
    """Of the picture over grey, dB."""
    psnr_average: float
    """PSNR of the azimuth-average of the truth: a picture without any view information."""
    azimuth: float
    """Share of views whose best match among all azimuths of the truth is within MATCH_DEG, 0..1."""
    kind: float
    """Share of views in which the recogniser names the kind, 0..1."""
    color: float | None
    """Share of views in which the recogniser names the colour, the one asked for or the usual one, 0..1;
    None where it has no name."""
    traits: float | None
    """Share of what the prompt says beside the kind (colour, style, pose, what it wears, holds and is with)
    that the recogniser names, over all views, 0..1; None for a kind alone."""
    both: float
    """Share of views in which it names the kind, and the colour if that has a name, 0..1."""
    consistency: float
    """Share of the pairs of views that the recogniser gives equal names for what ``both`` counts, right or
    not, 0..1."""
    edge: float
    """Share of the silhouette's pixels at the gamut's edge, less the truth's, -1..1: above 0 where colours
    saturate. See :func:`sctd.evaluate.saturation.saturation`."""
    chroma: float
    """Mean chroma of the silhouette's pixels, less the truth's, -1..1."""


def truth_from(subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
    """The subject from these cameras: pictures [n, 3, size, size] over their backgrounds and coverage [n,
    size, size], 0..1."""
    return world_named(subject.world).truth(subject, cameras, size)


def truth_views(subject: Subject, n: int = AZIMUTHS, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """The subject all round: pictures [n, 3, size, size] over grey and coverage [n, size, size], 0..1."""
    cameras = orbit_cameras(n, ELEVATION_DEG, RADIUS, FOV_DEG, size)
    return truth_from(subject, cameras.over(torch.full((n, 3), BACKGROUND)), size)


def asset_views(asset: Asset, n: int, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """The asset from the cameras of :func:`truth_views`: pictures [n, 3, size, size] and alpha [n, size,
    size]."""
    cameras = orbit_cameras(n, ELEVATION_DEG, RADIUS, FOV_DEG, size)
    seen = look_at_asset(asset, cameras, torch.full((n, 3), BACKGROUND))
    return seen.rgb.clamp(0, 1), seen.alpha[:, 0]


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """PSNR in dB of pictures [..., 3, H, W], 0..1, for each leading index."""
    return -10 * (a - b).square().mean(dim=(-3, -2, -1)).clamp_min(1e-10).log10()


def score(
    asset: Asset,
    subject: Subject,
    recogniser: Recogniser | None = None,
    views: int = 8,
    size: int = SIZE,
) -> Score:
    """Score an asset over ``views`` azimuths (a divisor of AZIMUTHS), in pictures of size x size pixels."""
    images, alpha = asset_views(asset, views, size)
    return score_views(images, alpha, subject, recogniser)


def score_views(
    images: Tensor, alpha: Tensor, subject: Subject, recogniser: Recogniser | None = None
) -> Score:
    """Score pictures [views, 3, size, size] over BACKGROUND and their alpha [views, size, size].

    They are seen from azimuths evenly spaced from 0, as :func:`asset_views` gives them.
    """
    views = len(images)
    truth, coverage = truth_views(subject, size=images.shape[-1])
    every = AZIMUTHS // views
    solid, true_solid = alpha > 0.5, coverage[::every] > 0.5
    union = (solid | true_solid).flatten(1).sum(1).clamp_min(1)
    iou = (solid & true_solid).flatten(1).sum(1) / union
    # Colours and silhouettes together: [views, AZIMUTHS] squared distances.
    both = torch.cat((images, alpha[:, None]), dim=1)
    true_both = torch.cat((truth, coverage[:, None]), dim=1)
    distance = (both[:, None] - true_both[None]).square().mean(dim=(2, 3, 4))
    steps = distance.argmin(1).numpy() - every * np.arange(views)
    away = np.abs((steps + AZIMUTHS / 2) % AZIMUTHS - AZIMUTHS / 2)
    named = Named(subject, images, recogniser or load_recogniser())
    told = [head for head in ("kind", "color") if named.asks(head)]
    own, true = saturation(images, solid), saturation(truth[::every], true_solid)
    return Score(
        iou=float(iou.float().mean()),
        psnr=float(psnr(images, truth[::every]).mean()),
        psnr_average=float(psnr(truth.mean(0, keepdim=True), truth[::every]).mean()),
        azimuth=float((away * 360 / AZIMUTHS <= MATCH_DEG).mean()),
        kind=named.right("kind") / views,
        color=named.share("color"),
        traits=named.share("traits", *(("color",) if subject.color else ())),
        both=named.right("kind", "color") / views,
        consistency=agreement(list(zip(*map(named.names, told), strict=True))),
        edge=own.edge - true.edge,
        chroma=own.chroma - true.chroma,
    )


def agreement(verdicts: Sequence[object]) -> float:
    """Share of all pairs that are equal, 0..1; 1 for a single one."""
    pairs = list(combinations(verdicts, 2))
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else 1.0
