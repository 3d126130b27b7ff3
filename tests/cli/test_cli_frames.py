"""`sctd render --camera`, `--orbit`, `--path`: layers, formats and camera files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import torch
from cli_outcome import Outcome
from numpy.typing import NDArray
from PIL import Image

from sctd.camera_files import path_through, read_cameras
from sctd.cameras import orbit_cameras
from sctd.export.table import export
from sctd.gaussians import Gaussians

Command = Callable[..., Outcome]
SMALL = ("--size", "48x32")


@pytest.fixture
def asset(here: Path) -> str:
    """A dense red disc of radius about 0.5 that faces (0, 0.6, 0.8), its middle at (0.1, 0.2, 0.3)."""
    up = math.atan2(0.6, 0.8)
    export(
        here / "a.ply",
        Gaussians(
            means=torch.tensor([[0.1, 0.2, 0.3]]),
            scales=torch.tensor([[0.3, 0.3, 1e-3]]).log(),
            quats=torch.tensor([[math.cos(up / 2), -math.sin(up / 2), 0, 0]]),  # z axis => (0, 0.6, 0.8)
            opacities=torch.tensor([6.0]),
            sh0=torch.tensor([[[1.0, -1.5, -1.5]]]),
            shN=torch.zeros(1, 0, 3),
        ),
    )
    return "a.ply"


def picture(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float64)


def shown(*layers: str) -> list[str]:
    return [word for layer in layers for word in ("--show", layer)]


def test_arrays_hold_what_is_there(sctd: Command, here: Path, asset: str) -> None:
    layers = ("rgb", "alpha", "depth", "normals")
    level = ("--radius", "3", "--elevation", "0", "--orbit", "2")
    done = sctd("render", asset, *level, *SMALL, *shown(*layers), "--format", "npy")
    assert (done.code, done.err) == (0, "")
    names = [f"{i:04d}_{layer}.npy" for i in range(2) for layer in layers]
    assert done.out.split() == [f"frames/{name}" for name in [*names, "transforms.json"]]
    front = {layer: np.load(here / "frames" / f"0000_{layer}.npy") for layer in layers}
    back = {layer: np.load(here / "frames" / f"0001_{layer}.npy") for layer in layers}
    assert front["rgb"].shape == (32, 48, 3)
    # 32 pixels high with 40 degrees: the middle (0.1, 0.2) at depth 2.7 is 1.6 right, 3.3 above the centre.
    at = (12, 25)
    assert front["alpha"][at] > 0.9
    assert front["depth"][at] == pytest.approx(2.7, abs=1e-3)
    assert back["depth"][12, 48 - 25] == pytest.approx(3.3, abs=1e-3)
    np.testing.assert_allclose(front["normals"][at], [0, 0.6, 0.8], atol=1e-3)
    np.testing.assert_allclose(back["normals"][12, 48 - 25], [0, -0.6, -0.8], atol=1e-3)
    assert front["alpha"][0, 0] == front["depth"][0, 0] == np.abs(front["normals"][0, 0]).max() == 0
    assert front["rgb"][0, 0].tolist() == [1, 1, 1]


def test_a_transparent_picture_over_a_colour_is_the_picture_over_it(
    sctd: Command, here: Path, asset: str
) -> None:
    for name, options in (("clear", ["--transparent"]), ("grey", ["--background", "grey"])):
        assert sctd("render", asset, "--orbit", "1", *SMALL, "--out", name, *options).code == 0
    clear, grey = picture(here / "clear/0000.png"), picture(here / "grey/0000.png")
    alpha = clear[..., 3:] / 255
    assert alpha.min() == 0
    np.testing.assert_allclose(alpha * clear[..., :3] + (1 - alpha) * 127.5, grey, atol=1.5)  # two roundings


def test_png_shows_every_layer_and_says_what_depths_are(sctd: Command, here: Path, asset: str) -> None:
    done = sctd("render", asset, "--orbit", "1", *SMALL, *shown("alpha", "depth", "normals"))
    assert done.code == 0
    assert done.err.startswith("depth: white is ")
    names = {path.name for path in (here / "frames").iterdir()}
    assert names == {"0000_alpha.png", "0000_depth.png", "0000_normals.png", "transforms.json"}
    assert picture(here / "frames/0000_depth.png").max() > 255  # 16 bits


def test_exr_is_linear_and_has_named_channels(sctd: Command, here: Path, asset: str) -> None:
    layers = shown("rgb", "depth", "normals")
    for kind in ("exr", "npy"):
        done = sctd("render", asset, "--orbit", "1", *SMALL, *layers, "--format", kind, "--out", kind)
        assert done.code == 0
    with OpenEXR.File(str(here / "exr/0000.exr"), separate_channels=True) as file:
        found = {name: channel.pixels for name, channel in file.channels().items()}
    arrays = {layer: np.load(here / f"npy/0000_{layer}.npy") for layer in ("rgb", "depth", "normals")}
    np.testing.assert_array_equal(found["Z"], arrays["depth"])
    np.testing.assert_array_equal(found["N.Y"], arrays["normals"][..., 1])
    encoded = arrays["rgb"][..., 1].astype(np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(found["G"], linear, atol=1e-6)
    assert "A" not in found


def test_a_video_of_the_cameras(sctd: Command, here: Path, asset: str) -> None:
    done = sctd("render", asset, "--orbit", "3", *SMALL, "--format", "mp4")
    assert (done.code, done.out) == (0, "frames/render.mp4\n")


def test_cameras_that_were_written_are_read_again(sctd: Command, here: Path, asset: str) -> None:
    assert sctd("render", asset, "--orbit", "3", *SMALL, "--out", "one").code == 0
    assert sctd("render", asset, "--camera", "one/transforms.json", "--out", "two").code == 0
    for i in range(3):
        one, two = (picture(here / folder / f"{i:04d}.png") for folder in ("one", "two"))
        np.testing.assert_allclose(one, two, atol=1)
    done = sctd("render", asset, "--path", "one/transforms.json", "--frames", "5", "--out", "way")
    assert done.code == 0
    for i, j in ((0, 0), (2, 1), (4, 2)):
        np.testing.assert_allclose(
            picture(here / f"way/{i:04d}.png"), picture(here / f"one/{j:04d}.png"), atol=1
        )


def transforms(here: Path, **changes: Any) -> Path:
    """A camera 3 before the front of a world with z up, whose objects face -y; 64 x 48 pixels."""
    frame = {"transform_matrix": [[1, 0, 0, 0], [0, 0, -1, -3], [0, 1, 0, 0], [0, 0, 0, 1]]}
    tree = {"w": 64, "h": 48, "camera_angle_x": 2 * math.atan(32 / 48), "frames": [frame], **changes}
    tree = {key: value for key, value in tree.items() if value is not None}
    path = here / "transforms.json"
    path.write_text(json.dumps(tree))
    return path


def test_a_file_of_another_program_has_z_up(here: Path) -> None:
    found = read_cameras(transforms(here))
    wanted = orbit_cameras(1, 0.0, 3.0, math.degrees(2 * math.atan(24 / 48)), 48, 64)
    torch.testing.assert_close(found.viewmats, wanted.viewmats, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.Ks, wanted.Ks, atol=1e-4, rtol=0)
    assert (found.width, found.height) == (64, 48)
    for name in ("azimuth", "elevation", "radius", "fovy"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), atol=1e-5, rtol=0)


def test_a_file_with_y_up_and_another_size(here: Path) -> None:
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3]]
    frame = {"transform_matrix": matrix, "fl_x": 48, "fl_y": 60, "cx": 30, "cy": 24}
    found = read_cameras(transforms(here, frames=[frame]), "y", (96, 96))
    wanted = orbit_cameras(1, 0.0, 3.0, 40.0, 96)
    torch.testing.assert_close(found.viewmats, wanted.viewmats, atol=1e-6, rtol=0)
    assert found.Ks[0].tolist() == [[96, 0, 44], [0, 120, 48], [0, 0, 1]]  # twice, the centre moved by 2 * -2


def test_a_path_goes_smoothly_through_its_cameras() -> None:
    keys = orbit_cameras(4, 10.0, 3.0, 40.0, 32)
    way = path_through(keys, 31)
    torch.testing.assert_close(way.viewmats[::10], keys.viewmats, atol=1e-5, rtol=0)
    moves = (way.viewmats[1:, :3, 3] - way.viewmats[:-1, :3, 3]).norm(dim=1)
    assert float(moves.max()) < 0.5  # a quarter of the circle takes ten steps: 0.47 each


TURNED = [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]]
GOOD = {"transform_matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3]]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": None}, "frames is no list of 1 to 10000 cameras"),
        ({"frames": []}, "frames is no list of 1 to 10000 cameras"),
        ({"frames": [{}] * 10_001}, "frames is no list of 1 to 10000 cameras"),
        ({"frames": [3]}, "frames[0] is no object"),
        ({"frames": [GOOD, {}]}, "frames[1].transform_matrix is no 4 x 4 list of numbers"),
        (
            {"frames": [{"transform_matrix": [[1, 0, 0, "x"]] * 4}]},
            "frames[0].transform_matrix is no 4 x 4",
        ),
        ({"frames": [{"transform_matrix": TURNED}]}, "frames[0].transform_matrix is no rotation"),
        ({"camera_angle_x": None}, "frames[0] has no focal length: fl_x, or camera_angle_x"),
        ({"camera_angle_x": "wide"}, "camera_angle_x is 'wide' and must be a number"),
        ({"w": None}, "w or h is missing; give the pictures' size by --size"),
        ({"w": 10**9}, "pictures of 1000000000 x 48 pixels; at most 16384"),
        ({"k1": 0.1}, "k1 is not rendered; undistort the cameras first"),
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model 'OPENCV_FISHEYE' is not rendered"),
        ({"frames": [GOOD, {**GOOD, "w": 32}]}, "its pictures have different sizes [(32, 48), (64, 48)]"),
    ],
)
def test_a_bad_camera_file_is_one_line(
    sctd: Command, here: Path, asset: str, changes: dict[str, Any], says: str
) -> None:
    transforms(here, **changes)
    done = sctd("render", asset, "--camera", "transforms.json")
    assert done.code == 2
    assert says in done.error_line()
    assert not (here / "frames").exists()


def test_options_are_checked_first(sctd: Command, here: Path, asset: str) -> None:
    (here / "full").mkdir()
    (here / "full" / "a.txt").touch()
    (here / "bad.json").write_text("{")
    for arguments, says in (
        (("--orbit", "2", "--camera", "c.json"), "--camera, --orbit and --path exclude each other"),
        (("--camera", "c.json"), "cannot read c.json"),
        (("--camera", "bad.json"), "bad.json is no camera file: its JSON cannot be read"),
        (("--orbit", "2", "--show", "rainbow"), "--show must be rgb, alpha, depth, normals; got 'rainbow'"),
        (("--orbit", "2", "--format", "bmp"), "--format must be png, exr, npy, mp4; got 'bmp'"),
        (
            ("--orbit", "2", "--format", "mp4", "--transparent"),
            "--format mp4 shows colours over a",
        ),
        (("--orbit", "2", "--size", "10"), "--size must be within 16..4096"),
        (("--orbit", "2", "--size", "a"), "--size must be pixels such as 512"),
        (("--orbit", "2", "--out", "full"), "full holds files; replace some with --overwrite"),
        (("--orbit", "2", "--camera-up", "x"), "--camera-up must be y, -y or z"),
        (("--show", "depth"), "--show, --format and --transparent go with --camera, --orbit or --path"),
    ):
        done = sctd("render", asset, *arguments)
        assert done.code == 2
        assert says in done.error_line()
