"""A .glb or .gltf with KHR_gaussian_splatting => Gaussians; y up, front at +z, its nodes' transforms applied.

Source: KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.axes import sh_rotation
from sctd.formats.gltf_accessors import numbers
from sctd.formats.gltf_file import Document, Json
from sctd.formats.gltf_nodes import Nodes
from sctd.formats.stored import Stored, stored
from sctd.formats.write_glb import EXTENSION

_OF_DAMAGED_FILES = (ValueError, TypeError, LookupError, AttributeError, OverflowError, struct.error)
_COLUMNS = dict[str, NDArray[Any]]
_MOST = 50_000_000
"""Limit over all instances: a small file can show one mesh in many nodes."""


def holds_gaussians(path: Path) -> bool:
    """Whether a glTF file has a primitive of Gaussians; False for one that cannot be read."""
    try:
        return any(_splats(mesh) for mesh in Document(Path(path), lambda text: None).items("meshes"))
    except (InputError, OSError, *_OF_DAMAGED_FILES):
        return False


def read_glb(path: Path) -> Stored:
    """Read the Gaussians of a glTF scene.

    Raises:
        InputError: the file is missing, damaged, or holds no readable Gaussians.
    """
    notes: list[str] = []
    try:
        document = Document(Path(path), notes.append)
        parts, others = _parts(document)
        found = _joined(parts) if parts else None
    except InputError as exc:
        raise InputError(f"{path}: {exc}") from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except _OF_DAMAGED_FILES as exc:
        raise InputError(f"{path} is damaged: {type(exc).__name__}: {exc}") from exc
    if found is None:
        raise InputError(
            f"{path} holds no Gaussians ({EXTENSION}); "
            "a mesh can be given to sctd render, export, view and generate --init"
        )
    if others:
        notes.append(f"{others} primitives without Gaussians are not read")
    return stored(Path(path), found, "y", tuple(f"{path}: {note}" for note in notes))


def _splats(mesh: Json) -> list[Json]:
    return [p for p in mesh.get("primitives", []) if EXTENSION in p.get("extensions", {})]


def _parts(document: Document) -> tuple[list[_COLUMNS], int]:
    """The columns of every instance of Gaussians, and the number of other primitives."""
    parts: list[_COLUMNS] = []
    others = total = 0
    for node, places in Nodes(document).meshes():
        mesh = document.item("meshes", node["mesh"])
        splats = _splats(mesh)
        others += len(mesh.get("primitives", [])) - len(splats)
        for primitive in splats:
            columns = _columns(document, primitive)
            total += len(places) * len(columns["means"])
            if total > _MOST:
                raise InputError(
                    f"its scene shows more than {_MOST} Gaussians; export fewer, or fewer instances"
                )
            parts += [_placed(columns, place) for place in places]
    return parts, others


def _columns(document: Document, primitive: Json) -> _COLUMNS:
    extension, attributes = primitive["extensions"][EXTENSION], primitive.get("attributes", {})
    if packed := extension.get("extensions"):
        raise InputError(f"its Gaussians are packed by {', '.join(packed)}; export them without it")
    for field, known in (("kernel", "ellipse"), ("colorSpace", "srgb_rec709_display")):
        if extension.get(field) != known:
            raise InputError(f"{EXTENSION}.{field} is {extension.get(field)!r}, and {known!r} is read")

    def get(name: str, width: int) -> NDArray[np.float64]:
        if name not in attributes:
            raise InputError(f"its Gaussians have no {name}; export it anew")
        return numbers(document, attributes[name], (width,))

    degree = max(
        (int(name[len(f"{EXTENSION}:SH_DEGREE_")]) for name in attributes if "SH_DEGREE_" in name), default=0
    )
    if degree > 3:
        raise InputError(f"its colours are of degree {degree}, and 0 to 3 are read")
    coefficients = [
        get(f"{EXTENSION}:SH_DEGREE_{d}_COEF_{n}", 3) for d in range(degree + 1) for n in range(2 * d + 1)
    ]
    opacity = np.clip(get(f"{EXTENSION}:OPACITY", 1)[:, 0], 0, 1)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # 0 is flat, negative scales become NaN; certain is infinite
        columns = {
            "means": get("POSITION", 3),
            "scales": np.log(get(f"{EXTENSION}:SCALE", 3)),
            "quats": get(f"{EXTENSION}:ROTATION", 4)[:, [3, 0, 1, 2]],
            "opacities": np.log(opacity) - np.log1p(-opacity),
            "sh": np.stack(coefficients, axis=1),
        }
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"its attributes have different counts: {counts}; the file is damaged")
    return columns


def _placed(columns: _COLUMNS, place: NDArray[np.float64]) -> _COLUMNS:
    """Moved, turned and scaled by a matrix [4, 4] that does just that.

    Raises:
        InputError: it mirrors, shears, or scales unevenly.
    """
    if np.array_equal(place, np.eye(4)):
        return columns
    scale = float(np.cbrt(max(0.0, np.linalg.det(place[:3, :3]))))
    turn = place[:3, :3] / scale if scale > 0 else place[:3, :3]
    if not (scale > 0 and np.allclose(turn @ turn.T, np.eye(3), atol=1e-4)):
        raise InputError(
            "a node mirrors its Gaussians, shears them or scales them unevenly; apply it and export anew"
        )
    degree = int(np.sqrt(columns["sh"].shape[1])) - 1
    harmonics = sh_rotation(torch.from_numpy(turn.copy()), degree).numpy()
    rest = np.einsum("ij,njc->nic", harmonics, columns["sh"][:, 1:])
    return {
        "means": columns["means"] @ place[:3, :3].T + place[:3, 3],
        "scales": columns["scales"] + np.log(scale),
        "quats": _product(_quat(turn), columns["quats"]),
        "opacities": columns["opacities"],
        "sh": np.concatenate((columns["sh"][:, :1], rest), axis=1),
    }


def _quat(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation [3, 3] as wxyz."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    return np.array([w, x, y, z])


def _product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """One rotation [4] after others [N, 4], wxyz."""
    w, x, y, z = left
    matrix = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    product: NDArray[np.float64] = right @ matrix.T
    return product


def _joined(parts: list[_COLUMNS]) -> _COLUMNS:
    """All of them, colours with the highest degree among them."""
    most = max(part["sh"].shape[1] for part in parts)
    padded = [np.pad(part["sh"], ((0, 0), (0, most - part["sh"].shape[1]), (0, 0))) for part in parts]
    sh = np.concatenate(padded).astype(np.float32)
    found = {name: np.concatenate([part[name] for part in parts]) for name in ("means", "quats")}
    for name in ("scales", "opacities"):
        found[name] = np.concatenate([part[name] for part in parts]).astype(np.float32)
    return {**found, "sh0": sh[:, :1], "shN": sh[:, 1:]}
