"""A part of the ops' tests on the code of lesser processors: torch's, BLAS's and ours.

What a processor offers decides in which order sums are added, and whether products are fused with them. A
tolerance that hangs on that fails on somebody else's machine alone, so every machine runs its lesser ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from instruction_sets import LOWERED

LESSER = {
    # torch's own kernels, ours, MKL's, oneDNN's
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "SCTD_CPU_ISA": "baseline",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "SCTD_CPU_ISA": "avx2",
        "MKL_CBWR": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
}
PART = "(cpu and (sizes or channels or each_camera or obeys or matches_reference)) or rounds"
FILES = ("test_rasterize.py", "test_ode.py", "test_adam.py", "test_rounding.py")
MODEL = """
import sys, torch
from sctd import _native
from raster_scenes import make_scene
import test_rasterize
truths = test_rasterize.case_of(make_scene(60, 33, 20, seed=4)).truths
print(torch.backends.cpu.get_cpu_capability(), _native.isa(), *(t.variance.sum().item() for t in truths))
"""


def on(isa: str, *command: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parent
    paths = os.pathsep.join(map(str, (folder, folder.parent / "support", folder.parents[1])))
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **LESSER[isa], "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        cwd=folder.parents[1],
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("isa", LOWERED)
def test_the_rule_holds_on(isa: str) -> None:
    files = [f"tests/ops/{name}" for name in FILES]
    done = on(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", PART)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 30
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("isa", LOWERED)
def test_the_model_is_the_same_on(isa: str) -> None:
    """And the code is really that of the lesser one."""
    from raster_scenes import make_scene
    from test_rasterize import case_of

    done = on(isa, "-c", MODEL)
    assert done.returncode == 0, done.stderr
    capability, own, *sums = done.stdout.split()
    assert (capability.lower(), own) == (LESSER[isa]["ATEN_CPU_CAPABILITY"], isa)
    here = [truth.variance.sum().item() for truth in case_of(make_scene(60, 33, 20, seed=4)).truths]
    assert [float(text) for text in sums] == pytest.approx(here, rel=1e-5)
