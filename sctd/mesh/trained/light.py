"""Light around a mesh, and what metallic-roughness materials reflect of it: the split sum, in closed tables.

What a surface reflects is an integral over all directions, of light times reflection. Karis 2013, "Real
Shading in Unreal Engine 4", splits it into the light, blurred as far as the roughness reaches, and the
reflection of white light. Both are tables, made here by quadrature from formulas; no file is read. The
material is that of glTF 2.0, appendix B.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.formats.srgb import linear_to_srgb, srgb_to_linear
from sctd.mesh.trained.normals import unit

DIELECTRIC = 0.04
"""Share of light that whatever is no metal reflects at right angles."""
SMOOTHEST = 0.05
"""Least roughness of the tables."""
LEVELS, HEIGHT, WIDTH = 6, 17, 33
"""Of the blurred light: roughness 0, 0.2 ... 1, from pole to pole, and once round."""
_RINGS, _SECTORS, _SAMPLES, _STEPS = 48, 96, 512, 32
_DARK = 1e-4
"""Linear light below which the curve of sRGB is too steep for a gradient."""


class Lighting(NamedTuple):
    """Tables of one light, float32."""

    diffuse: Tensor
    """[3, 1, HEIGHT, WIDTH]: by the normal, what a white matt surface sends out."""
    blurred: Tensor
    """[3, LEVELS, HEIGHT, WIDTH]: by the mirrored direction and the roughness."""
    table: Tensor
    """[2, 1, S, S]: by roughness (rows) and cosine to the viewer, both 0..1, scale and offset of what is
    reflected at right angles."""


def sky(directions: Tensor) -> Tensor:
    """Light from directions of length 1 [..., 3], y up: [..., 3], linear, 1 on the mean of all directions.

    A sky that is brighter above, a ground, and two soft boxes: a warm one before the object and to the right,
    and a cool one behind it and to the left.
    """
    found = (_AMBIENT + 0.35 * directions[..., 1:2]).expand_as(directions)
    for towards, tint, width in _BOXES:
        cosine = directions @ F.normalize(torch.tensor(towards).to(directions), dim=0)
        found = found + torch.exp((cosine - 1) / width)[..., None] * torch.tensor(tint).to(directions)
    return found


_AMBIENT = 0.763
"""At the height of the eye; with it the mean is 1."""
_BOXES = (
    ((0.6, 0.7, 0.8), (5.0, 4.7, 4.3), 0.06),
    ((-0.8, 0.4, -0.5), (2.2, 2.4, 2.7), 0.08),
)
"""Direction, light at the middle, and 1 - cosine at which that has fallen to 1 / e."""


@lru_cache
def lighting(device: torch.device) -> Lighting:
    """The tables of :func:`sky`, on a device."""
    across = math.pi * (torch.arange(_RINGS) + 0.5).double() / _RINGS
    around = 2 * math.pi * torch.arange(_SECTORS).double() / _SECTORS
    sources = _directions(across, around)
    size = across.sin().repeat_interleave(_SECTORS)
    power = sky(sources) * size[:, None]
    places = _directions(
        torch.linspace(0, math.pi, HEIGHT).double(), torch.linspace(0, 2 * math.pi, WIDTH).double()
    )
    cosines = (places @ sources.T).clamp(-1, 1)
    levels = [sky(places)]
    for k in range(1, LEVELS):
        weights = cosines.clamp_min(0) * _ggx(((1 + cosines) / 2).clamp_min(0).sqrt(), k / (LEVELS - 1))
        levels.append((weights @ power) / (weights @ size)[:, None])
    matt = cosines.clamp_min(0)
    diffuse = (matt @ power) / (matt @ size)[:, None]

    def picture(values: Tensor) -> Tensor:
        return values.T.reshape(3, 1, HEIGHT, WIDTH).float()

    blurred = torch.cat([picture(level) for level in levels], dim=1)
    made = Lighting(picture(diffuse), blurred, split_sum(_STEPS)[:, None].float())
    return Lighting(*(t.to(device) for t in made))


def split_sum(steps: int) -> Tensor:
    """Scale and offset of the light reflected at right angles, under white light: [2, steps, steps], float64.

    By roughness SMOOTHEST..1 (rows) and cosine to the viewer, 1 / steps..1. GGX, Smith's shadowing with
    k = roughness^2 / 2, Schlick's Fresnel; samples of the half vector at fixed places (Hammersley's).
    """
    roughness = torch.linspace(SMOOTHEST, 1, steps).double()[:, None, None]
    cosine = torch.linspace(1 / steps, 1, steps).double()[:, None]
    index = torch.arange(_SAMPLES)
    first = (index + 0.5).double() / _SAMPLES
    second = _mirrored_bits(index).double() / 2**32
    height = ((1 - first) / (1 + (roughness**4 - 1) * first)).sqrt()
    half_x = (1 - height**2).clamp_min(0).sqrt() * torch.cos(2 * math.pi * second)
    v_h = ((1 - cosine**2).sqrt() * half_x + cosine * height).clamp_min(1e-9)
    n_l = 2 * v_h * height - cosine
    k = roughness**2 / 2
    shadowing = cosine / (cosine * (1 - k) + k) * n_l / (n_l * (1 - k) + k)
    visible = torch.where(n_l > 0, shadowing * v_h / (height * cosine), 0.0)
    fresnel = (1 - v_h).clamp_min(0) ** 5
    return torch.stack((((1 - fresnel) * visible).mean(-1), (fresnel * visible).mean(-1)))


def shaded(material: Tensor, normals: Tensor, toward: Tensor) -> Tensor:
    """Surfaces in the light of :func:`sky`: sRGB, [N, 3], 0..1; differentiable in the material.

    Args:
        material: base colour in sRGB, roughness, metal, each 0..1, [N, 5].
        normals: [N, 3], of any length.
        toward: the viewer, [N, 3], of any length.
    """
    light = lighting(material.device)
    base, roughness, metal = srgb_to_linear(material[:, :3]), material[:, 3], material[:, 4:]
    normals, toward = unit(normals), unit(toward)
    cosine = (normals * toward).sum(1, keepdim=True)
    mirrored = 2 * cosine * normals - toward
    straight = DIELECTRIC * (1 - metal) + base * metal
    matt = _read(light.diffuse, *_at(normals), torch.zeros_like(roughness))
    blurred = _read(light.blurred, *_at(mirrored), 2 * roughness - 1)
    row = 2 * (roughness - SMOOTHEST) / (1 - SMOOTHEST) - 1
    column = 2 * (cosine[:, 0] * _STEPS - 1) / (_STEPS - 1) - 1
    scale, offset = _read(light.table, column, row, torch.zeros_like(row)).unbind(1)
    seen = base * (1 - metal) * matt + blurred * (straight * scale[:, None] + offset[:, None])
    return linear_to_srgb(seen.clamp_min(_DARK))


def _read(table: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Values [N, D] of a table [D, Z, Y, X] at places -1..1, linear between its points."""
    places = torch.stack((x, y, z), dim=1)[None, None, None]
    read = F.grid_sample(table[None], places, mode="bilinear", padding_mode="border", align_corners=True)
    return read[0, :, 0, 0].T


def _at(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Places of directions [N, 3] in the tables of light; see :func:`_directions`."""
    x, y, z = directions.unbind(1)
    return torch.atan2(-z, -x) / math.pi, 2 * torch.acos(y.clamp(-1, 1)) / math.pi - 1


def _directions(across: Tensor, around: Tensor) -> Tensor:
    """[A * B, 3]: angles from the upper pole, [A], and round it, [B], from x towards z."""
    ring = torch.stack((around.cos(), 0 * around, around.sin()), dim=1)
    up = torch.tensor([0.0, 1.0, 0.0]).to(across)
    return (across.sin()[:, None, None] * ring + across.cos()[:, None, None] * up).reshape(-1, 3)


def _ggx(cosine: Tensor, roughness: float) -> Tensor:
    """Density of half vectors at a cosine to the normal, but for a factor."""
    return (cosine**2 * (roughness**4 - 1) + 1) ** -2


def _mirrored_bits(index: Tensor) -> Tensor:
    """Whole numbers below 2^32 with their 32 bits in reverse order."""
    found = torch.zeros_like(index)
    for k in range(32):
        found |= (index >> k & 1) << (31 - k)
    return found
