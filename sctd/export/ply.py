"""Step 9 of 9: Gaussians to and from a splat .ply, the layout that every viewer of 3D Gaussians reads.

One vertex a Gaussian, little-endian float32, values as they are optimised (log-scales, opacity logits, wxyz):
    x y z  nx ny nz (zero, some readers expect them)  f_dc_0..2  f_rest_0..  opacity  scale_0..2  rot_0..3
The higher colour coefficients go channel by channel: f_rest_[c * (K-1) + k] is coefficient k of channel c.
Axes are those of docs/conventions.md (+y up, front at +z); the file carries no axes of its own.

Source of the layout: Kerbl et al. 2023, "3D Gaussian Splatting", released files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sctd.errors import InputError
from sctd.export.files import whole_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sctd.gaussians import Gaussians

_REST_COUNTS = {0: 0, 9: 1, 24: 2, 45: 3}
"""Number of f_rest_* properties => spherical-harmonics degree."""


def property_names(rest: int) -> list[str]:
    """The properties of a vertex, in file order; ``rest`` is the number of f_rest_* among them."""
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]


def save_ply(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as a splat .ply, whole or not at all.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        gaussians: N >= 1 Gaussians on any device; stored as float32.

    Raises:
        InputError: there are none, or a value is not finite; the message names the tensor.
        OSError: the file cannot be written.
    """
    import numpy as np
    import plyfile

    arrays = {
        name: p.detach().cpu().to(dtype=_float32()).numpy() for name, p in gaussians.parameters().items()
    }
    count = len(arrays["means"])
    if count == 0:
        raise InputError(f"cannot write {path}: there are no Gaussians")
    for name, array in arrays.items():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise InputError(f"cannot write {path}: {bad} values of {name} are not finite")

    rest = arrays["shN"].transpose(0, 2, 1).reshape(count, -1)
    columns = np.concatenate(
        [
            arrays["means"],
            np.zeros((count, 3), np.float32),
            arrays["sh0"].reshape(count, 3),
            rest,
            arrays["opacities"].reshape(count, 1),
            arrays["scales"],
            arrays["quats"],
        ],
        axis=1,
    )
    # One contiguous block of rows; a structured view gives the columns their names without copying.
    layout = np.dtype([(name, "<f4") for name in property_names(rest.shape[1])])
    vertices = np.ascontiguousarray(columns, dtype="<f4").view(layout).reshape(count)
    element = plyfile.PlyElement.describe(vertices, "vertex")
    with whole_file(Path(path)) as temporary, temporary.open("wb") as stream:
        plyfile.PlyData([element], text=False, byte_order="<").write(stream)


def load_ply(path: Path) -> Gaussians:
    """Read a splat .ply, ours or another program's; text and either byte order are accepted.

    Returns:
        Gaussians on the CPU, float32.

    Raises:
        InputError: the file is missing or damaged, is no splat file, or holds a value that is not finite.
    """
    import torch

    from sctd.gaussians import Gaussians

    vertices, _ = read_vertices(Path(path))
    names = vertices.dtype.names or ()
    rest_count = sum(name.startswith("f_rest_") for name in names)
    missing = [name for name in property_names(0) if name not in names and name not in ("nx", "ny", "nz")]
    if missing:
        raise InputError(
            f"{path} is not a splat file: property {missing[0]!r} is missing; give the asset.ply of a run "
            "or another 3D Gaussian splatting file"
        )
    if rest_count not in _REST_COUNTS:
        raise InputError(f"{path} has {rest_count} f_rest_* properties; 0, 9, 24 or 45 are possible")
    if len(vertices) == 0:
        raise InputError(f"{path} holds no Gaussians")

    def tensor(*wanted: str) -> torch.Tensor:
        return torch.from_numpy(columns(vertices, wanted, path))

    rest = tensor(*(f"f_rest_{i}" for i in range(rest_count))).reshape(len(vertices), 3, rest_count // 3)
    return Gaussians(
        means=tensor("x", "y", "z"),
        scales=tensor("scale_0", "scale_1", "scale_2"),
        quats=tensor("rot_0", "rot_1", "rot_2", "rot_3"),
        opacities=tensor("opacity")[:, 0].contiguous(),
        sh0=tensor("f_dc_0", "f_dc_1", "f_dc_2")[:, None, :].contiguous(),
        shN=rest.transpose(1, 2).contiguous(),
    )


def _float32() -> Any:
    import torch

    return torch.float32


def read_vertices(path: Path) -> tuple[NDArray[np.void], int]:
    """The vertices of any .ply, and its number of faces.

    Raises:
        InputError: the file is missing or damaged, or has no vertices at all.
    """
    import plyfile

    try:
        elements = plyfile.PlyData.read(str(path), mmap=False)
        vertices: NDArray[np.void] = elements["vertex"].data
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (plyfile.PlyParseError, KeyError, ValueError, UnicodeDecodeError, MemoryError) as exc:
        raise InputError(f"{path} is damaged or not a .ply file: {' '.join(str(exc).split())[:200]}") from exc
    return vertices, elements["face"].count if "face" in elements else 0


def columns(vertices: NDArray[np.void], names: tuple[str, ...], path: Path) -> NDArray[np.float32]:
    """Properties that are there, [N, len(names)] float32.

    Raises:
        InputError: one is a list, or holds a value that is not finite.
    """
    import numpy as np

    out = np.empty((len(vertices), len(names)), np.float32)
    for i, name in enumerate(names):
        if vertices.dtype[name].kind not in "fiu":
            raise InputError(f"cannot use {path}: property {name!r} is a list, not a number")
        out[:, i] = vertices[name]
        if not np.isfinite(out[:, i]).all():
            raise InputError(f"{path} is damaged: property {name!r} holds values that are not finite")
    return out
