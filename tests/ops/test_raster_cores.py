"""What Python and C++ must say alike."""

from __future__ import annotations

import re
from pathlib import Path

from sctd.ops._diffusion_cores import MAX_WRONG
from sctd.ops._raster_cores import TILE
from sctd.ops.reference import PREDICTIONS


def test_constants_are_those_of_the_native_code(repository: Path) -> None:
    def constant(file: str, pattern: str) -> str:
        found = re.search(pattern, (repository / "csrc" / file).read_text(encoding="utf-8"))
        assert found is not None, (file, pattern)
        return found[1]

    assert int(constant("include/common.h", r"constexpr int kTile = (\d+);")) == TILE
    assert int(constant("cpu/diffusion.cpp", r"\bkMost = (\d+);")) == MAX_WRONG
    kinds = constant("include/sctd_math.h", r"enum Prediction\b[^{]*\{([^}]*)\}")
    assert len(re.findall(r"\bk[A-Z]\w*", kinds)) == len(PREDICTIONS)
