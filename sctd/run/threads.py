"""The number of threads of a run, in the native code and in torch."""

from __future__ import annotations

import os

import torch

from sctd.machine.cores import allowed_cores, usable_cores
from sctd.ops import set_num_threads


def use_threads(threads: int = 0) -> None:
    """Set the number of threads of the native kernels and of torch, before their first use.

    A number that the environment sets (``SCTD_NUM_THREADS``, ``OMP_NUM_THREADS``) stays. Torch counts the
    allowed cores and knows no quota: with more threads than the quota grants, the kernel stops all of them
    for a part of each tenth of a second.

    Args:
        threads: of the native kernels; 0: as many as can run at once. Torch's number affects the last bits of
            an asset, so this changes it only where a quota requires it.
    """
    usable = usable_cores()
    limited = usable < len(allowed_cores())
    if threads:
        set_num_threads(threads)
    elif limited and "SCTD_NUM_THREADS" not in os.environ:
        set_num_threads(usable)
    if limited and "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > usable:
        torch.set_num_threads(usable)
