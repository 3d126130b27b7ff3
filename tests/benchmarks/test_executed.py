"""What warps execute of the CUDA kernels: as much as is committed. Needs nvcc."""

from __future__ import annotations

import json

import pytest

from benchmarks import executed

pytestmark = pytest.mark.usefixtures("cuda_ptx")


def test_every_kernel_executes_what_is_committed() -> None:
    committed = json.loads(executed.COUNTS.read_text())
    if committed["nvcc"] != executed.release():
        pytest.skip(f"the committed counts are those of nvcc {committed['nvcc']}")
    now = executed.held()
    assert now["counts"].keys() == committed["counts"].keys()
    lines = executed.differences(now, committed)
    again = "if that is meant: SCTD_PTX_MODULE=$(make -s ptx) python -m benchmarks.executed --update"
    assert not lines, "\n".join([*lines, again])


def test_a_difference_names_the_picture_and_the_kernel() -> None:
    now = {"counts": {"10, 16": {"blend instructions": 110, "blend sectors": 50}}}
    committed = {"counts": {"10, 16": {"blend instructions": 100, "blend sectors": 50}}}
    assert executed.differences(now, committed) == [
        "10, 16: blend instructions: 110 instructions, committed 100 (+10.0%)"
    ]


def test_the_stages_of_the_page_are_sums_over_their_kernels() -> None:
    counts = {
        name: {"instructions": n * 1_000_000, "sectors": 0, "atomics": 0, "warps": 1}
        for name, n in {
            "blend_forward_kernel<3>": 2,
            "blend_forward_kernel<1>": 1,
            "count_tiles_kernel": 4,
            "emit_pairs_kernel": 8,
            "adam_kernel": 100,
            "project_backward_kernel": 5,
        }.items()
    }
    assert executed.stages(counts) == {
        "forward": 3_000_000,
        "backward": 0,
        "count + emit": 12_000_000,
        "project forward": 0,
        "project backward": 5_000_000,
    }
