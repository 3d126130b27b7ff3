"""Files of assets: one module for each format and direction; `table.py` lists them by ending.

Inside the program everything is y up (docs/conventions.md); these modules convert a file's axes. This one
loads no torch.
"""

from __future__ import annotations

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".gltf", ".npz")
"""Endings of readable files of Gaussians, in upper or lower case; `table.py` has their readers."""
