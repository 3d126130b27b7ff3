"""Public tensor ops: the rasterizer, the fused diffusion ops, the optimiser step.

They know no prompts and no trainer.

Each has a plain-torch twin, which is its definition: in :mod:`sctd.ops.reference`, or beside the op where
plain torch runs on a CPU.
"""

from __future__ import annotations

from sctd.ops import triangles
from sctd.ops._backend import backends, get_num_threads, set_num_threads
from sctd.ops.activation import activate
from sctd.ops.adam import AdamGroup, adam_schedule, adam_step_
from sctd.ops.fusion import fuse_depth
from sctd.ops.images import views
from sctd.ops.neighbours import knn_mean_distance
from sctd.ops.ode import cfg_ode_steps, noise, ode_step
from sctd.ops.rasterize import rasterization
from sctd.ops.residual import sctd_loss, sctd_residual, sctd_step_residual
from sctd.ops.screen import watch_screen_
from sctd.ops.variation import total_variation

__all__ = [
    "AdamGroup",
    "activate",
    "adam_schedule",
    "adam_step_",
    "backends",
    "cfg_ode_steps",
    "fuse_depth",
    "get_num_threads",
    "knn_mean_distance",
    "noise",
    "ode_step",
    "rasterization",
    "sctd_loss",
    "sctd_residual",
    "sctd_step_residual",
    "set_num_threads",
    "total_variation",
    "triangles",
    "views",
    "watch_screen_",
]
