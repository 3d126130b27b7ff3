"""Text to 3D Gaussian splatting by segmented consistency trajectory distillation (SCTD).

Importing this package loads neither torch nor native code; each name below loads what it needs at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sctd.cameras import CameraBatch, orbit_cameras
    from sctd.config import Config, load_config
    from sctd.gaussians import Gaussians
    from sctd.ops import rasterization
    from sctd.pipeline import RunResult, generate
    from sctd.prior import load_prior
    from sctd.render import Render, render_images

__version__ = "0.1.0"

_HOME = {
    "CameraBatch": "sctd.cameras",
    "orbit_cameras": "sctd.cameras",
    "Config": "sctd.config",
    "load_config": "sctd.config",
    "Gaussians": "sctd.gaussians",
    "rasterization": "sctd.ops",
    "RunResult": "sctd.pipeline",
    "generate": "sctd.pipeline",
    "load_prior": "sctd.prior",
    "Render": "sctd.render",
    "render_images": "sctd.render",
}

__all__ = [
    "CameraBatch",
    "Config",
    "Gaussians",
    "Render",
    "RunResult",
    "__version__",
    "generate",
    "load_config",
    "load_prior",
    "orbit_cameras",
    "rasterization",
    "render_images",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sctd' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
