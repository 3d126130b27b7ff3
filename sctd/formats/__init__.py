"""Files that hold an asset: one module a format and direction; which reads what stands in `table.py`.

Inside the program everything is y up (docs/conventions.md); a file's axes end at this border. No torch is
loaded here.
"""

from __future__ import annotations

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".gltf", ".npz")
"""Of files of Gaussians that are read, in any case; `table.py` says by whom."""
