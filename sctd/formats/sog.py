"""The layout of .sog: a zip of meta.json and lossless WebP pictures, a pixel a Gaussian.

    means_l, means_u   low and high byte of 16 bits between mins and maxs, of sign(x) log(1 + |x|)
    quats              the three smaller components, (byte / 255 - 1/2) sqrt(2); alpha is 252 + the index of
                       the largest, wxyz
    scales             indices into a codebook of logarithms
    sh0                indices into a codebook of coefficients of degree 0; alpha is the opacity
    shN_labels         low and high byte of an index into shN_centroids
    shN_centroids      64 entries a row, each with a pixel a coefficient: indices into a codebook

Like the .ply files that they are made from, they are y down: viewers turn both alike.

Source: PlayCanvas, "The SOG Format", version 2.
"""

from __future__ import annotations

VERSION = 2
TAG = 252
COEFFICIENTS = {1: 3, 2: 8, 3: 15}
"""Degree => coefficients of a channel."""
PER_ROW = 64
"""Palette entries in a row of shN_centroids."""
MOST_ENTRIES = 1 << 16
