"""Step 9 of 9, output: splat files for other programs, a turntable, a sheet of views."""

from __future__ import annotations

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".npz", ".html", ".png", ".mp4", ".gif", ".webp")
"""Endings of output files, in upper or lower case; `table.py` has their writers."""

LAYERS = ("rgb", "alpha", "depth", "normals")
"""Layers of pictures from any cameras."""
KINDS = ("png", "exr", "npy", "mp4")
"""File formats of the layers."""

ELEVATION, RADIUS, FOV = 15.0, 3.15, 40.0
"""Default cameras of pictures: degrees, world units, degrees."""
