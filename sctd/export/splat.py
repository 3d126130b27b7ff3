"""Step 9 of 9: Gaussians from a .splat, the flat records that web viewers load.

A record has 32 bytes, little-endian: position 3 float32, scale 3 float32 (standard deviation, no logarithm),
colour and opacity 4 uint8, rotation 4 uint8 wxyz, (byte - 128) / 128 each. Colours are of degree 0; there is
no header, and the file carries no axes.

Source of the layout: the web viewer github.com/antimatter15/splat, its README and converter.
"""

from __future__ import annotations

from pathlib import Path

from sctd.errors import InputError
from sctd.gaussians import SH_C0, Gaussians

RECORD = 32


def load_splat(path: Path) -> Gaussians:
    """Read a .splat file.

    Opacities of 0 and 255 become a half step inside, since a logit has to be finite.

    Returns:
        Gaussians on the CPU, float32, spherical harmonics of degree 0.

    Raises:
        InputError: the file is missing, empty, cut off, or holds a value that no Gaussian has.
    """
    import numpy as np
    import torch

    try:
        data = Path(path).read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if not data or len(data) % RECORD:
        raise InputError(
            f"{path} is no .splat file or is cut off: {len(data)} bytes, no multiple of {RECORD}"
            if data
            else f"{path} holds no Gaussians"
        )
    layout = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
    records = np.frombuffer(data, layout)
    means, scales = (torch.from_numpy(records[k].astype(np.float32)) for k in ("mean", "scale"))
    rgba, quats = (torch.from_numpy(records[k].astype(np.float32)) for k in ("rgba", "quat"))
    for wrong, what in (
        (~torch.isfinite(means).all(1), "a position that is not finite"),
        (~(torch.isfinite(scales) & (scales > 0)).all(1), "a scale that is not positive"),
        ((quats == 128).all(1), "no rotation"),
    ):
        if bool(wrong.any()):
            raise InputError(f"{path} is damaged: record {int(wrong.nonzero()[0])} has {what}")
    return Gaussians(
        means=means,
        scales=scales.log(),
        quats=(quats - 128) / 128,
        opacities=torch.logit((rgba[:, 3] / 255).clamp(0.5 / 255, 1 - 0.5 / 255)),
        sh0=((rgba[:, None, :3] / 255) - 0.5) / SH_C0,
        shN=torch.zeros(len(means), 0, 3),
    )
