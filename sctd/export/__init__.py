"""Step 9 of 9: what a person takes away: splat files for other programs, a turntable, a sheet of views."""

from __future__ import annotations

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".npz", ".html", ".png", ".mp4", ".gif", ".webp")
"""Of files that are written, in any case; `table.py` says by whom."""

LAYERS = ("rgb", "alpha", "depth", "normals")
"""What pictures of any cameras show."""
KINDS = ("png", "exr", "npy", "mp4")
"""How they are written."""

ELEVATION, RADIUS, FOV = 15.0, 3.15, 40.0
"""Where the cameras of pictures stand unless a person says else: degrees, world units, degrees."""
