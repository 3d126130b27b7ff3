"""The CUDA sources under emulation: order of threads, races, memory; and that planted bugs are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from emulation import simt_build

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
CUDA = HERE.parents[1] / "csrc" / "cuda"


def run_workload(module: Path, seeds: int, preload: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SCTD_SIMT_MODULE": str(module),
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(HERE.parents[1])]),
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(SUPPORT / "kernel_workload.py"), str(seeds)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def sanitizer_libraries() -> str:
    """libasan and libubsan of the compiler, to be loaded before everything else."""
    compiler = os.environ.get("CXX") or "c++"
    names = ("libasan.so", "libubsan.so", "libstdc++.so.6")
    found = (
        subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip() for name in names
    )
    return " ".join(found)


@pytest.fixture(scope="module")
def race_module() -> Path:
    return simt_build().build("race")


def test_no_race_and_the_same_bits_in_every_order_of_threads(race_module: Path) -> None:
    done = run_workload(race_module, 4)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4
    assert len(set(done.stdout.split())) == 1, "seeds 0..3"


def test_no_access_out_of_bounds() -> None:
    done = run_workload(simt_build().build("asan"), 2, sanitizer_libraries())
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(set(done.stdout.split())) == 1


# (file, what stands there, what is planted instead, what must be said). In the race build.
PLANTED = {
    "no barrier after the warps' partial sums": (
        *("project.cu", "mine] = total;\n        __syncthreads();", "mine] = total;"),
        r"race: .*project\.cu.*project_backward_kernel",
    ),
    "no barrier after the warps' norms": (
        *(
            "adam.cu",
            "norms[group] = a.norms[group] = norm;\n    __syncthreads();",
            "norms[group] = a.norms[group] = norm;",
        ),
        r"race: .*adam\.cu.*adam_factors_kernel",
    ),
    "a warp leaves a loop early": (
        *(
            "blend_forward.cu",
            "if (__all_sync(kFull, finished)) return true;",
            "if (finished) return true;",
        ),
        r"deadlock: .*\.cu:\d+.*blend_forward_kernel",
    ),
    "threads leave before a barrier": (
        *(
            "project.cu",
            "    GaussianGrad<float> sum{};\n",
            "    if (!inside) return;\n    GaussianGrad<float> sum{};\n",
        ),
        r"deadlock: .*\.(cu|h):\d+.* has left the kernel; kernel .?project_backward_kernel<true>.?, block 0",
    ),
    "a divergent vote": (
        *(
            "blend_backward.cu",
            "if (!__any_sync(kFull, drawn[0] || drawn[1])) return;",
            "if (!(drawn[0] || drawn[1])) return;",
        ),
        r"deadlock: .*shuffle \(warp\.h:\d+\)",
    ),
    "no barrier after a batch is loaded": (
        *("blend_backward.cu", "        __syncwarp();\n        const int n", "        const int n"),
        r"race: .*blend_backward_kernel",
    ),
    "no barrier before the next batch": (
        *("blend_backward.cu", "rows, place);\n        __syncwarp();", "rows, place);"),
        r"race: .*blend_backward_kernel",
    ),
    "an addition that is not atomic": (
        *("tiles.cu", "atomicAdd(&totals[base + owner], tiles)", "totals[base + owner] += tiles"),
        r"race: .*tiles\.cu:\d+.* and .*tiles\.cu:\d+.*count_tiles_kernel",
    ),
    "a minimum that is not atomic": (
        *("triangle_draw.cu", "atomicMin(pixel, key);", "if (key < *pixel) *pixel = key;"),
        r"race: .*triangle_draw\.cu:\d+.* and .*triangle_draw\.cu:\d+.*draw_cells_kernel",
    ),
    "lanes without a pixel leave before the sum": (
        *(
            "triangle_shade.cu",
            "    __syncwarp();\n    const Halves",
            "    if (sums[0] == 0) return;\n    const Halves",
        ),
        r"deadlock: .*(attribute|weight|force)_sums_kernel",
    ),
    "a mask without the caller": (
        *("tiles.cu", "__shfl_sync(kFull, end, kWarp - 1)", "__shfl_sync(0xffffu, end, 15)"),
        r"shuffle \(tiles\.cu:\d+\) is called by a lane that its mask does not name",
    ),
    "a shuffle from outside the mask": (
        *(
            "tiles.cu",
            "__shfl_sync(kFull, upto, kWarp - 1)",
            "__shfl_sync(kFull >> 1, lane < 31 ? upto : 0, kWarp - 1)",
        ),
        r"(reads lane 31, which is not in its mask|its mask does not name)",
    ),
    "padding that is not a number": (
        *("blend_forward.cu", "slab[n] = none;", "(void)none;"),
        r"not finite",
    ),
}


def planted(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (CUDA / name).read_text()
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
    mutant = tmp_path / name
    mutant.write_text(text.replace(old, new))
    return mutant


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str, tmp_path: Path, race_module: Path) -> None:
    name, old, new, message = PLANTED[bug]
    module = simt_build().build("race", planted(tmp_path, name, old, new), tmp_path / "build")
    done = run_workload(module, 1)
    assert done.returncode != 0, "the bug was not noticed"
    assert re.search(message, done.stderr, re.DOTALL), done.stderr[-2000:]


def test_planted_overrun_is_found_by_the_sanitizer(tmp_path: Path) -> None:
    mutant = planted(
        tmp_path, "blend_forward.cu", "SHARED(Packed, slabs, kTileThreads);", "SHARED(Packed, slabs, 127);"
    )
    done = run_workload(simt_build().build("asan", mutant, tmp_path / "build"), 1, sanitizer_libraries())
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr, done.stderr[-2000:]
