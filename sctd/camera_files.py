"""Reads and writes cameras as transforms.json, the format of nerfstudio, instant-ngp and NeRF's scenes.

    {"w": 800, "h": 600, "fl_x": .., "fl_y": .., "cx": .., "cy": ..,     or "camera_angle_x": radians
     "frames": [{"file_path": "0000.png", "transform_matrix": 4 x 4}, ..]}

A matrix takes the camera's axes (x right, y up, z backwards, as OpenGL) to the world's. A frame may
have its own intrinsics, which override those above. Such worlds have z up by custom; ours has y up.

Source: docs.nerf.studio, "Data conventions".
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.errors import InputError
from sctd.files import whole_file

MOST = 10_000
"""Cameras of a file."""
_OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
"""Converts their camera axes to ours: y down, z forward."""
_WORLDS = {
    "y": torch.eye(4, dtype=torch.float64),
    "z": torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64),
    "-y": torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)),
}
"""To our world, from one with this axis up."""
_DISTORTIONS = ("k1", "k2", "k3", "k4", "p1", "p2")


def read_cameras(path: Path, up: str = "z", size: tuple[int, int] | None = None) -> CameraBatch:
    """Every camera of a transforms.json.

    Args:
        up: the world's axis that points up: y, -y or z.
        size: width and height to render at, pixels, of any shape: the view's centre and height stay; None:
            the file's.

    Raises:
        InputError: the file is missing or damaged, a frame has no matrix or no focal length, pictures have
            different sizes, or a camera's lens has distortion; the message names the field.
    """
    tree = _tree(path)
    frames = tree.get("frames")
    if not isinstance(frames, list) or not 0 < len(frames) <= MOST:
        raise InputError(f"{path}: frames is no list of 1 to {MOST} cameras")
    matrices, Ks, sizes = [], [], set()
    for i, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise InputError(f"{path}: frames[{i}] is no object")
        matrices.append(_matrix(path, i, frame.get("transform_matrix")))
        K, found = _intrinsics(path, i, {**tree, **frame}, size)
        Ks.append(K)
        sizes.add(found)
    if len(sizes) > 1:
        raise InputError(f"{path}: its pictures have different sizes {sorted(sizes)[:3]}; give --size")
    width, height = sizes.pop()
    return from_poses(_WORLDS[up] @ torch.stack(matrices) * _OPENGL, torch.stack(Ks), width, height)


def write_cameras(path: Path, cameras: CameraBatch, names: list[str]) -> None:
    """Write cameras and the names of their pictures as a transforms.json, z up, whole or not at all."""
    poses = torch.linalg.inv(cameras.viewmats.double()) * _OPENGL
    poses = torch.linalg.inv(_WORLDS["z"]) @ poses
    frames = [
        {
            "file_path": name,
            "transform_matrix": pose.tolist(),
            **{key: float(K[at]) for key, at in _PLACES.items()},
        }
        for name, pose, K in zip(names, poses, cameras.Ks.double(), strict=True)
    ]
    tree = {"camera_model": "PINHOLE", "w": cameras.width, "h": cameras.height, "frames": frames}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


_PLACES = {"fl_x": (0, 0), "fl_y": (1, 1), "cx": (0, 2), "cy": (1, 2)}


def path_through(cameras: CameraBatch, count: int) -> CameraBatch:
    """``count`` >= 2 cameras on a smooth path from the first through all of them to the last.

    Positions and intrinsics follow cubic splines, rotations scipy's RotationSpline. Key cameras are evenly
    spaced in time.

    Raises:
        InputError: there is only one camera.
    """
    import numpy as np
    from scipy.interpolate import CubicSpline
    from scipy.spatial.transform import Rotation, RotationSpline

    if len(cameras) < 2:
        raise InputError("a path needs at least two cameras; with one, give --camera")
    poses = torch.linalg.inv(cameras.viewmats.double()).numpy()
    keys, times = np.arange(len(cameras)), np.linspace(0, len(cameras) - 1, count)
    made = np.tile(np.eye(4), (count, 1, 1))
    made[:, :3, :3] = RotationSpline(keys, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
    made[:, :3, 3] = CubicSpline(keys, poses[:, :3, 3])(times)
    Ks = CubicSpline(keys, cameras.Ks.double().numpy())(times)
    return from_poses(torch.from_numpy(made), torch.from_numpy(Ks), cameras.width, cameras.height)


def from_poses(poses: Tensor, Ks: Tensor, width: int, height: int) -> CameraBatch:
    """Cameras from their camera-to-world matrices [C, 4, 4], OpenCV axes, and intrinsics [C, 3, 3]."""
    eye = poses[:, :3, 3]
    radius = eye.norm(dim=1)
    return CameraBatch(
        torch.linalg.inv(poses).float(),
        Ks.float(),
        width,
        height,
        torch.atan2(eye[:, 0], eye[:, 2]).float(),
        torch.asin((eye[:, 1] / radius.clamp_min(1e-12)).clamp(-1, 1)).float(),
        radius.float(),
        (2 * torch.atan(0.5 * height / Ks[:, 1, 1])).float(),
    )


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{path} is no camera file: its JSON cannot be read ({exc})") from exc
    if not isinstance(tree, dict):
        raise InputError(f"{path} is no camera file: its JSON is no object")
    return tree


def _matrix(path: Path, index: int, rows: Any) -> Tensor:
    """A camera's place, [4, 4]; a fourth row may be missing."""
    field = f"{path}: frames[{index}].transform_matrix"
    good = isinstance(rows, list) and len(rows) in (3, 4)
    if not good or not all(
        isinstance(row, list) and len(row) == 4 and all(map(_is_number, row)) for row in rows
    ):
        raise InputError(f"{field} is no 4 x 4 list of numbers")
    matrix = torch.tensor([*rows[:3], [0, 0, 0, 1]], dtype=torch.float64)
    turn = matrix[:3, :3]
    if not torch.allclose(turn @ turn.T, torch.eye(3, dtype=torch.float64), atol=1e-3) or torch.det(turn) < 0:
        raise InputError(f"{field} is no rotation: cameras can neither scale nor mirror")
    return matrix


def _intrinsics(
    path: Path, index: int, fields: dict[str, Any], size: tuple[int, int] | None
) -> tuple[Tensor, tuple[int, int]]:
    """Intrinsics of one camera, [3, 3] pixels, and the picture's width and height."""

    def number(name: str) -> float | None:
        value = fields.get(name)
        if value is not None and not _is_number(value):
            raise InputError(f"{path}: frames[{index}]: {name} is {value!r} and must be a number")
        return value

    bent = [name for name in _DISTORTIONS if number(name)]
    if bent or fields.get("camera_model", "PINHOLE") not in ("PINHOLE", "SIMPLE_PINHOLE", "OPENCV"):
        what = bent[0] if bent else f"camera_model {fields['camera_model']!r}"
        raise InputError(f"{path}: frames[{index}]: {what} is not rendered; undistort the cameras first")
    width, height = number("w"), number("h")
    if width is None or height is None:
        if size is None:
            raise InputError(f"{path}: w or h is missing; give the pictures' size by --size")
        width, height = size
    angle = number("camera_angle_x")
    fx = number("fl_x") or (0.5 * width / math.tan(0.5 * angle) if angle and 0 < angle < math.pi else None)
    if not (fx and fx > 0 and width >= 1 and height >= 1):
        raise InputError(f"{path}: frames[{index}] has no focal length: fl_x, or camera_angle_x in radians")
    fy, cx, cy = number("fl_y") or fx, number("cx"), number("cy")
    cx, cy = width / 2 if cx is None else cx, height / 2 if cy is None else cy
    target = (round(width), round(height)) if size is None else size
    if max(target) > 16384:
        raise InputError(f"{path}: pictures of {target[0]} x {target[1]} pixels; at most 16384 are rendered")
    scale = target[1] / height
    K = [
        [fx * scale, 0, target[0] / 2 + (cx - width / 2) * scale],
        [0, fy * scale, target[1] / 2 + (cy - height / 2) * scale],
        [0, 0, 1],
    ]
    return torch.tensor(K, dtype=torch.float64), target


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
