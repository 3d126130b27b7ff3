"""The kernels' threads beside torch's OpenMP threads (csrc/cpu/openmp.h)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Prints how many threads the first kernel on two threads starts.
SCRIPT = """
import os, time, torch
from sctd import ops
x = torch.zeros(4, 1 << 16)
x.add_(1)  # torch's own threads are there
before = len(os.listdir("/proc/self/task"))
ops.set_num_threads(2)
ops.noise(x, x, torch.ones(4), torch.ones(4))
ops.noise(x, x, torch.ones(4), torch.ones(4))
for _ in range(100):  # the worker starts the other thread in its own time
    started = len(os.listdir("/proc/self/task")) - before
    if started == 2:
        break
    time.sleep(0.01)
print(started)
"""


@pytest.mark.parametrize(
    ("variables", "started"),
    # a worker, and the idle OpenMP thread that keeps the others from spinning; who chose is left alone
    [({}, "2"), ({"OMP_WAIT_POLICY": "active"}, "1"), ({"GOMP_SPINCOUNT": "100"}, "1")],
)
def test_openmp_is_told_of_the_pool_once(variables: dict[str, str], started: str) -> None:
    maps = subprocess.run(
        [sys.executable, "-c", "import torch; print(open('/proc/self/maps').read())"],
        capture_output=True,
        text=True,
    )
    if "libgomp" not in maps.stdout:
        pytest.skip("this torch has no GNU OpenMP, or this is not Linux")
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**environment, **variables}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == started
