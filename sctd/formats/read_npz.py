""".npz => Gaussians, as `write_npz.py` describes it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.bounded import check_declared, damaged
from sctd.formats.stored import Stored, stored

_KIND = ".npz"
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "means": (3,),
    "scales": (3,),
    "quats": (4,),
    "opacities": (),
    "sh0": (1, 3),
    "shN": (None, 3),
}
"""Of a row."""


def read_npz(path: Path) -> Stored:
    """Read a .npz of Gaussians.

    Raises:
        InputError: the file is missing, damaged, or lacks an array; one has another shape or is no float.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            found = {name: _array(Path(path), bundle, name) for name in _SHAPES}
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as exc:
        raise damaged(path, _KIND, f"it cannot be read ({exc})") from exc
    counts = {name: len(values) for name, values in found.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"{path}: its arrays have different lengths: {counts}")
    if found["shN"].shape[1] not in (0, 3, 8, 15):
        raise InputError(f"{path}: shN has {found['shN'].shape[1]} coefficients; 0, 3, 8 or 15 are possible")
    wide = ("means", "quats")
    columns = {name: a.astype(np.float64 if name in wide else np.float32) for name, a in found.items()}
    return stored(Path(path), columns, "y")


def _array(path: Path, bundle: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """One array; its header is compared with what the archive holds before anything is made."""
    try:
        info = bundle.getinfo(f"{name}.npy")
    except KeyError:
        raise InputError(f"{path}: it has no array {name!r}; {', '.join(_SHAPES)} are needed") from None
    with bundle.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            version
        )
        if read is None:
            raise damaged(path, _KIND, f"{name} is of .npy version {version}")
        shape, column_major, dtype = read(stream)
        wanted = _SHAPES[name]
        fits = len(shape) == 1 + len(wanted) and all(
            w in (None, s) for w, s in zip(wanted, shape[1:], strict=True)
        )
        if not fits or dtype.kind != "f" or column_major:
            raise InputError(
                f"{path}: {name} is {dtype} of shape {shape}; floats of shape "
                f"{('N', *('K' if w is None else w for w in wanted))} in C order are read"
            )
        needed = dtype.itemsize * int(np.prod(shape, dtype=np.float64))
        check_declared(path, _KIND, name, shape[0], needed, info.compress_size)
        content = stream.read(needed)
    if len(content) < needed:
        raise damaged(path, _KIND, f"{name} is cut off: {len(content)} of {needed} bytes")
    return np.frombuffer(content, dtype).reshape(shape)
