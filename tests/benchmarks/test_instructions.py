"""Instructions of the CPU kernels: no more than what is committed. Needs valgrind."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from benchmarks import instructions

Need = Callable[[str, bool, str], None]


def test_a_change_in_either_direction_is_told() -> None:
    committed = {"project": 1000, "blend": 1000, "gone": 5}
    counted = {"project": 1029, "blend": 1031, "new": 7}
    assert instructions.differences(counted, committed) == [
        "blend: 1,031 instructions, committed 1,000 (+3.1%)",
        "gone: 0 instructions, committed 5 (-100.0%)",
        "new: 7 instructions, committed 0 (new)",
    ]
    assert instructions.differences({"blend": 969}, {"blend": 1000}), "a faster kernel must be recorded"


def test_every_kernel_takes_as_many_instructions_as_committed(need: Need) -> None:
    why = instructions.obstacle()
    need("callgrind", why is None, why or "")
    committed = json.loads(instructions.COUNTS.read_text())
    here = instructions.compiler_version()
    if committed["compiler"] != here:
        pytest.skip(f"the committed counts are those of {committed['compiler']}, this compiler is {here}")
    counted = instructions.count()
    assert set(counted) == set(instructions.STAGES)
    lines = instructions.differences(counted, committed["counts"])
    assert not lines, "\n".join([*lines, "if that is meant: python -m benchmarks.instructions --update"])
