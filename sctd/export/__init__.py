"""Step 9 of 9: what a person takes away: splat files for other programs, a turntable, a sheet of views."""

from __future__ import annotations

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".npz", ".html", ".png", ".mp4", ".gif", ".webp")
"""Of files that are written, in any case; `table.py` says by whom."""
