"""Peak rates of this machine, measured by torch: exponentials, multiply-adds, memory traffic.

They are only bounds for the roofline columns: torch's exponential is accurate to the last bit, so a kernel
with a cheaper one may exceed it; the multiply-adds are those of a matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

SECONDS = 0.15
"""Time of each of the three; the best repeat counts, since a peak needs to be reached only once."""
EXP_PER_THREAD = 32768
"""Elements of the exponential's argument a thread: torch shares out pieces of this size, which stay in L2."""
MATRIX = 768
"""Edge of the matrices of the multiply-adds: 2.4 MB each, large enough to keep all units busy."""
TRIAD = 16 << 20
"""Elements of each of the triad's three tensors, 64 MB: no cache holds them."""


@dataclass(frozen=True)
class Peaks:
    """Rates of this process with its present number of torch threads."""

    exp_per_s: float
    """float32 exponentials."""
    fma_per_s: float
    """float32 multiply-adds."""
    bytes_per_s: float
    """a = b + s c on tensors larger than the caches: two reads and one write counted."""

    def as_facts(self) -> dict[str, float | str]:
        """For the machine's part of a row."""
        return {**asdict(self), "peaks": "measured by torch: exp, matrix product, triad"}


def _best(call: Callable[[], object], seconds: float = SECONDS) -> float:
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        call()
        now = time.perf_counter()
        best = min(best, now - began)
        if now >= end:
            return best


@torch.no_grad()
def measure_peaks() -> Peaks:
    """Takes about half a second."""
    count = EXP_PER_THREAD * torch.get_num_threads()
    x, y = torch.linspace(-5, 0, count), torch.empty(count)
    exponentials = count / _best(lambda: torch.exp(x, out=y))
    a, b = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    product = torch.empty_like(a)
    multiply_adds = MATRIX**3 / _best(lambda: torch.mm(a, b, out=product))
    u, v, w = (torch.ones(TRIAD) for _ in range(3))
    traffic = 3 * 4 * TRIAD / _best(lambda: torch.add(u, v, alpha=0.5, out=w))
    return Peaks(exponentials, multiply_adds, traffic)
