"""What a prior that reads cameras is told of a picture, as numbers beside its text.

Such a prior's UNet has diffusers' ``class_embed_type = "projection"``: the numbers go through two linear
layers and are added to the embedding of the timestep. They are these features, then the embedding of the
text's last token, which stands for the whole text, so that the network can weigh one by the other. Its UNet
attends to a fixed number of a text's tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.cameras import Viewpoints

PLACES = 20
"""Tokens of a text that the UNet attends to."""
_TURNS = (1, 2, 3, 4, 6)  # a kind's outline changes as fast as these multiples of the azimuth tell apart
_TILTS = (1, 2, 4)
FEATURES = 2 * len(_TURNS) + 2 * len(_TILTS) + 2 + 4
# Middle and spread of what is no angle: the trainer's cameras have about -1..1.
_RADIUS, _RADIUS_SPREAD = 3.3, 0.1  # of the logarithm
_FOVY, _FOVY_SPREAD = math.radians(40.0), math.radians(3.0)
_GREY, _GREY_SPREAD = 0.7, 0.25


def camera_features(views: Viewpoints) -> Tensor:
    """Cameras relative to the object => features [B, FEATURES], float32, about -1..1.

    Sines and cosines of multiples of azimuth and elevation, the direction's level part, distance, field of
    view, grey of the background, and 1. All zeros, which no camera gives, mean that the camera is not told.
    """
    turn, tilt = views.azimuth, views.elevation
    waves = [wave(k * turn) for k in _TURNS for wave in (torch.sin, torch.cos)]
    waves += [wave(k * tilt) for k in _TILTS for wave in (torch.sin, torch.cos)]
    level = [torch.cos(tilt) * torch.sin(turn), torch.cos(tilt) * torch.cos(turn)]
    numbers = [
        torch.log(views.radius / _RADIUS) / _RADIUS_SPREAD,
        (views.fovy - _FOVY) / _FOVY_SPREAD,
        (views.background.mean(1) - _GREY) / _GREY_SPREAD,
        torch.ones_like(turn),
    ]
    return torch.stack([*waves, *level, *numbers], dim=1).float()


def last_places(embeddings: Tensor, tokens: Tensor, end: int) -> Tensor:
    """What the UNet is told of texts: PLACES tokens of each.

    Of a longer text these are its last ones. They have attended to the first, which say "a photo of" as a
    rule. Of another text they are the first ones, with its padding. So a text encoder that learns to read
    longer texts tells the UNet the same of a short one.

    Args:
        embeddings: [n, L, D]. tokens: [n, L], numbers. end: the number that closes and pads a text.

    Returns:
        [n, min(L, PLACES), D].
    """
    n, length, width = embeddings.shape
    if length <= PLACES:
        return embeddings
    places = torch.arange(length, device=tokens.device)
    closed = ((tokens != end) * places).amax(1) + 2  # tokens of the text with the one that closes it
    first = (closed - PLACES).clamp(0, length - PLACES)
    index = first[:, None] + places[:PLACES]
    return embeddings.gather(1, index[..., None].expand(n, PLACES, width))


def class_labels(features: Tensor, embeddings: Tensor) -> Tensor:
    """Features [B, FEATURES] and texts [B, L, D] => what the UNet takes, [B, FEATURES + D]."""
    return torch.cat((features.to(embeddings), embeddings[:, -1]), dim=1)
