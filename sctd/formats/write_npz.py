"""Gaussians => .npz for numpy: the tensors of :class:`sctd.gaussians.Gaussians` by name, float32, y up.

data = numpy.load("asset.npz")
data["means"], data["quats"] (wxyz), data["scales"] (logarithms), data["opacities"] (logits)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from sctd.files import whole_file
from sctd.formats.plain import plain
from sctd.gaussians import Gaussians

LOSES = "every number is kept as it is"


def write_npz(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as .npz, whole or not at all.

    Raises:
        InputError: there are none, or a value is not finite.
        OSError: the file cannot be written.
    """
    columns = plain(path, gaussians, "y")
    with whole_file(Path(path)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **cast("dict[str, Any]", columns))
