"""Where rasterizers break: nothing to draw, broken numbers, thresholds, threads, wrong arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from instruction_sets import LOWERED
from raster_scenes import Scene, device_of, make_scene
from torch import Tensor

from sctd.errors import BackendUnavailable, InputError
from sctd.ops import get_num_threads, rasterization, set_num_threads

with_reference = pytest.mark.parametrize(
    "backend", ["cpu", "cuda-simt", "cuda-ptx", "reference", pytest.param("cuda", marks=pytest.mark.gpu)]
)


def grads(scene: Scene, **options: Any) -> tuple[Tensor, ...]:
    """Image, alphas and all gradients in float32."""
    backend = options.get("backend", "cpu")
    s, device = scene.to(torch.float32, backend), device_of(backend)
    background = torch.full((s.viewmats.shape[0], 3), 0.25, device=device)
    renders, alphas, _ = rasterization(*s, backgrounds=background, **options)
    weight = torch.linspace(-1, 1, renders.numel(), device=device).reshape(renders.shape)
    ((renders * weight).sum() + alphas.square().sum()).backward()
    found = (renders.detach(), alphas.detach(), *(t.grad for t in s[:6] if t.grad is not None))
    return tuple(t.cpu() for t in found)


@with_reference
def test_no_gaussians(backend: str) -> None:
    out = grads(
        make_scene(1)._replace(**{n: getattr(make_scene(1), n)[:0] for n in Scene._fields[:5]}),
        backend=backend,
    )
    assert torch.equal(out[0], torch.full_like(out[0], 0.25))
    assert out[1].abs().max() == 0
    assert [t.shape[0] for t in out[2:]] == [0, 0, 0, 0, 0, 2]
    assert out[-1].abs().max() == 0


@with_reference
def test_everything_behind_the_camera(backend: str) -> None:
    scene = make_scene(20)
    away = scene.viewmats.clone()
    away[:, 2, 3] -= 100
    out = grads(scene._replace(viewmats=away), backend=backend)
    assert torch.equal(out[0], torch.full_like(out[0], 0.25))
    for g in out[2:]:
        assert g.abs().max() == 0


BROKEN = {
    "mean nan": ("means", float("nan")),
    "mean inf": ("means", float("inf")),
    "mean huge": ("means", 1e30),
    "scale nan": ("scales", float("nan")),
    "scale inf": ("scales", float("inf")),
    "quaternion zero": ("quats", 0.0),
    "quaternion nan": ("quats", float("nan")),
    "opacity nan": ("opacities", float("nan")),
    "opacity zero": ("opacities", 0.0),
    "opacity below 1/255": ("opacities", 0.0039),
}


@with_reference
@pytest.mark.parametrize("case", BROKEN)
def test_broken_gaussian_is_left_out(case: str, backend: str) -> None:
    """One broken Gaussian changes neither picture nor gradients of others, and its own gradient is zero."""
    scene = make_scene(30, seed=1)
    name, value = BROKEN[case]
    broken = getattr(scene, name).clone()
    broken[7] = value
    got = grads(scene._replace(**{name: broken}), backend=backend)
    rest = torch.arange(30) != 7
    want = grads(scene._replace(**{n: getattr(scene, n)[rest] for n in Scene._fields[:5]}), backend=backend)
    tolerance = 2e-6 if backend == "reference" else 0.0
    for a, b in zip(got[:2], want[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    for a, b in zip(got[2:7], want[2:7], strict=True):
        assert a[7].abs().max() == 0
        torch.testing.assert_close(a[rest], b, rtol=1e-5, atol=1e-5 * b.abs().max().item())
    assert got[7].isfinite().all()


@with_reference
@pytest.mark.parametrize("case", ["pose nan", "pose inf", "focal nan", "center nan"])
def test_broken_camera_sees_nothing(case: str, backend: str) -> None:
    """Its picture is the background and sends no gradient; the other camera's is as if it were alone."""
    scene = make_scene(30, seed=6)
    viewmats, Ks = scene.viewmats.clone(), scene.Ks.clone()
    if case.startswith("pose"):
        viewmats[0, 2, 1] = float(case.split()[1])
    else:
        Ks[0, 0, 0 if case.startswith("focal") else 2] = float("nan")
    got = grads(scene._replace(viewmats=viewmats, Ks=Ks), backend=backend)
    assert torch.equal(got[0][0], torch.full_like(got[0][0], 0.25))
    assert got[1][0].abs().max() == 0
    assert all(t.isfinite().all() for t in got)
    blind = torch.eye(4, dtype=torch.float64)
    blind[2, 3] = -100.0  # everything is behind it
    want = grads(scene._replace(viewmats=torch.stack([blind, scene.viewmats[1]])), backend=backend)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * b.abs().max().item())
    assert got[7][0].abs().max() == 0


def test_planes_and_radius_clip() -> None:
    scene = make_scene(40, seed=2)
    _, _, meta = rasterization(*scene)
    middle = meta["depths"].median().item()
    for options in ({"near_plane": middle}, {"far_plane": middle}, {"radius_clip": 4.0}):
        got, _, cut = rasterization(*scene, **options)
        want, _, _ = rasterization(*scene, **options, backend="reference")
        torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
        assert 0 < (cut["radii"] > 0).sum() < (meta["radii"] > 0).sum()


def test_flat_and_needle_gaussians_have_finite_gradients() -> None:
    scene = make_scene(60, seed=3, size=0.2)
    scales = scene.scales.clone()
    scales[:20, 0] = 0.0
    scales[20:40, :2] = 0.0
    for mode in ("classic", "antialiased"):
        for t in grads(scene._replace(scales=scales), rasterize_mode=mode):
            assert t.isfinite().all()


@pytest.mark.parametrize("border", ["alpha", "transmittance"])
def test_thresholds_are_where_the_definition_says(border: str) -> None:
    """One pixel, one threshold, approached from both sides by one part in a million."""
    scene = make_scene(1, 1, 1, 1, size=0.5)
    looked_at = scene._replace(
        means=torch.zeros(1, 3, dtype=torch.float64),
        Ks=torch.tensor([[[4.0, 0, 0.5], [0, 4.0, 0.5], [0, 0, 1]]], dtype=torch.float64),
        colors=torch.ones(1, 1, dtype=torch.float64),
    )
    if border == "alpha":
        for factor, drawn in ((1 - 1e-6, False), (1 + 1e-6, True)):
            s = looked_at._replace(opacities=torch.tensor([factor / 255], dtype=torch.float64))
            assert (rasterization(*s)[1].item() > 0) is drawn
        return
    # two coincident Gaussians: the second is drawn only if (1 - a)^2 stays above 1e-4, that is a < 0.99
    for factor, layers in ((1 - 1e-6, 2), (1 + 1e-6, 1)):
        alpha = 0.99 * factor
        two = {
            n: getattr(looked_at, n).repeat(2, *[1] * (getattr(looked_at, n).dim() - 1))
            for n in Scene._fields[:5]
        }
        s = looked_at._replace(**{**two, "opacities": torch.full((2,), alpha, dtype=torch.float64)})
        assert rasterization(*s)[1].item() == pytest.approx(1 - (1 - alpha) ** layers, abs=1e-12)


def test_equal_depths_keep_their_order() -> None:
    scene = make_scene(40, 20, 20, 1, seed=4, size=0.3)
    flat = scene.means.clone()
    flat[:, 2] = 0
    camera = torch.eye(4, dtype=torch.float64)[None].clone()
    camera[:, 2, 3] = 3.0
    scene = scene._replace(means=flat, viewmats=camera)
    torch.testing.assert_close(
        rasterization(*scene)[0], rasterization(*scene, backend="reference")[0], rtol=0, atol=1e-10
    )


def test_bit_identical_for_any_number_of_threads() -> None:
    scene = make_scene(3000, 130, 70, 3, seed=5, size=0.03, bases=4)
    before = get_num_threads()
    try:
        set_num_threads(1)
        want = grads(scene, sh_degree=1)
        for threads in (2, 3, 8):
            set_num_threads(threads)
            for a, b in zip(grads(scene, sh_degree=1), want, strict=True):
                assert torch.equal(a, b), f"{threads} threads"
    finally:
        set_num_threads(before)


def test_callers_on_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    scene = make_scene(500, seed=6, size=0.05)
    want = grads(scene)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: grads(scene), range(12)):
            for a, b in zip(result, want, strict=True):
                assert torch.equal(a, b)


ISA_PROGRAM = """
import sys, torch
sys.path[:0] = sys.argv[1].split(":")
from raster_scenes import make_scene
from test_rasterize_edges import grads
from sctd import _native
torch.save([_native.isa(), *grads(make_scene(300, 70, 50, 2, seed=8, bases=9), sh_degree=2)], sys.argv[2])
"""


@pytest.mark.parametrize("isa", LOWERED)
def test_instruction_sets_agree(isa: str, tmp_path: Path) -> None:
    folder = Path(__file__).parent
    here = f"{folder}:{folder.parent / 'support'}"
    run = subprocess.run(
        [sys.executable, "-c", ISA_PROGRAM, here, str(tmp_path / "out.pt")],
        env={**os.environ, "SCTD_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    used, *got = torch.load(tmp_path / "out.pt")
    assert used == isa
    want = grads(make_scene(300, 70, 50, 2, seed=8, bases=9), sh_degree=2)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5 * b.abs().max().item())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "quats": ({"quats": torch.zeros(5, 3)}, r"quats must have shape \[5, 4\]; got \[5, 3\]"),
    "scales": ({"scales": torch.zeros(4, 3)}, "scales must have shape"),
    "opacities": ({"opacities": torch.zeros(5, 1)}, "opacities must have shape"),
    "colors": ({"colors": torch.zeros(3, 5, 3)}, "colors must have shape"),
    "viewmats": ({"viewmats": torch.zeros(2, 3, 4)}, "viewmats must have shape"),
    "Ks": ({"Ks": torch.zeros(1, 3, 3)}, "Ks must have shape"),
    "background": ({"backgrounds": torch.zeros(2, 4)}, "backgrounds must have shape"),
    "dtype": ({"quats": torch.zeros(5, 4, dtype=torch.float64)}, "quats must have the dtype of means"),
    "half": ({"means": torch.zeros(5, 3, dtype=torch.float16)}, "means must be float32 or float64"),
    "width": ({"width": 0}, "width must be in 1"),
    "mode": ({"render_mode": "N"}, "render_mode must be one of"),
    "rasterize mode": ({"rasterize_mode": "fast"}, "rasterize_mode must be one of"),
    "bases": ({"sh_degree": 2, "colors": torch.zeros(5, 4, 3)}, "K >= 9"),
    "degree": ({"sh_degree": 4}, "sh_degree must be"),
    "packed": ({"packed": True}, "packed=True is not supported"),
    "sparse": ({"sparse_grad": True}, "sparse_grad=True is not supported"),
    "fisheye": ({"camera_model": "fisheye"}, "camera_model='fisheye' is not supported"),
    "unknown": ({"colour": 1}, "no option 'colour'"),
    "capacity": ({"capacity": -1}, "capacity must be at least 0"),
    "height": ({"height": -5}, r"height must be in 1\.\.32768 pixels; got -5"),
    "backend": ({"backend": "gpu"}, "backend must be one of"),
    "width of a fraction": ({"width": 64.5}, r"width must be a whole number; got 64\.5"),
    "height as a word": ({"height": "48"}, "height must be a number; got '48'"),
    "width of two": ({"width": torch.ones(2)}, r"width must be a number; got Tensor of shape \[2\]"),
    "degree of a fraction": ({"sh_degree": 0.5}, r"sh_degree must be a whole number; got 0\.5"),
    "tile size": ({"tile_size": 0}, "tile_size must be at least 1; got 0"),
    "near plane": ({"near_plane": float("nan")}, "near_plane must be a number; got nan"),
    "far plane": ({"far_plane": None}, "far_plane must be a number; got None"),
    "blur": ({"eps2d": -0.1}, r"eps2d must be at least 0 px\^2; got -0\.1"),
    "no tensor": ({"viewmats": torch.zeros(2, 4, 4).numpy()}, "viewmats must be a torch tensor; got ndarray"),
    "a list": ({"colors": [[0, 0, 0]] * 5}, "colors must be a torch tensor; got list"),
    "whole colours": (
        {"colors": torch.zeros(5, 3, dtype=torch.int64)},
        "colors must have the dtype of means",
    ),
    "no cameras": ({"viewmats": torch.zeros(0, 4, 4), "Ks": torch.zeros(0, 3, 3)}, "C >= 1"),
    "one camera": ({"viewmats": torch.zeros(4, 4)}, r"viewmats must have shape \[C, 4, 4\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_named(case: str) -> None:
    changes, message = REFUSED[case]
    scene = {n: v.float() if isinstance(v, Tensor) else v for n, v in make_scene(5)._asdict().items()}
    with pytest.raises(InputError, match=message):
        rasterization(**{**scene, **changes})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("packed", True),
        ("sparse_grad", True),
        ("distributed", True),
        ("camera_model", "ortho"),
        ("segmented", True),
        ("covars", torch.zeros(5, 3, 3)),
        ("with_ut", True),
        ("with_eval3d", True),
        ("radial_coeffs", torch.zeros(2, 6)),
        ("viewmats_rs", torch.zeros(2, 4, 4)),
        ("rolling_shutter", "ROLLING_TOP_TO_BOTTOM"),
        ("sh_degree", 4),
        ("covars", torch.zeros(5, 3, 3).numpy()),
        ("means", torch.zeros(1, 5, 3)),
        ("width", 40000),
    ],
)
def test_what_gsplat_has_and_this_has_not_is_named(name: str, value: Any) -> None:
    scene = {n: t.float() if isinstance(t, Tensor) else t for n, t in make_scene(5)._asdict().items()}
    with pytest.raises(NotImplementedError, match=name) as told:
        rasterization(**{**scene, name: value})
    assert "\n" not in str(told.value)


def test_absgrad_where_a_backend_has_none_is_not_implemented() -> None:
    many = make_scene(5, channels=5).to(torch.float32)
    for backend, message in (
        ("reference", "absgrad=True needs a native backend"),
        ("cuda-simt", "at most 4"),
    ):
        with pytest.raises(NotImplementedError, match=message):
            rasterization(*many, backend=backend, absgrad=True)
    depth, _, _ = rasterization(*many, backend="cuda-simt", absgrad=True, render_mode="D")
    assert depth.shape[-1] == 1  # the five channels are not drawn


NUMBERS: dict[str, Callable[[float], Any]] = {
    "float": float,
    "numpy integer or float": lambda x: np.int64(x) if x == int(x) else np.float32(x),
    "numpy float": np.float64,
    "array of no dimension": np.array,
    "tensor": torch.tensor,
    "fraction": Fraction,
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_may_be_of_any_type(kind: str) -> None:
    scene = make_scene(20, bases=4)
    numbers = {"near_plane": 0.5, "far_plane": 8.0, "radius_clip": 1.0, "eps2d": 0.25, "sh_degree": 1}
    numbers |= {"tile_size": 8, "capacity": 0, "width": scene.width, "height": scene.height}
    want = rasterization(*scene[:7], **numbers)
    got = rasterization(*scene[:7], **{name: NUMBERS[kind](value) for name, value in numbers.items()})
    assert torch.equal(got[0], want[0])
    assert type(got[2]["width"]) is int
    assert torch.equal(got[2]["isect_ids"], want[2]["isect_ids"])


@with_reference
@pytest.mark.parametrize("mode", ["D", "ED", "RGB+D", "RGB+ED"])
def test_behind_a_depth_there_is_zero(mode: str, backend: str) -> None:
    """As gsplat: a background is one of colours, and without them it is not looked at."""
    scene = make_scene(30, seed=9).to(torch.float32, backend)
    background = torch.full((2, 3), 0.5, device=device_of(backend))
    got, alphas, _ = rasterization(*scene, backgrounds=background, render_mode=mode, backend=backend)
    bare, _, _ = rasterization(*scene, render_mode=mode, backend=backend)
    assert torch.equal(got[..., -1:], bare[..., -1:])
    assert got[..., -1][alphas[..., 0] == 0].abs().max() == 0
    if mode.startswith("RGB"):
        torch.testing.assert_close(got[..., :3], bare[..., :3] + 0.5 * (1 - alphas), rtol=0, atol=1e-6)


def test_expanded_inputs() -> None:
    scene = make_scene(30, seed=7)
    flat = {"scales": scene.scales[:, :1].expand(-1, 3), "colors": scene.colors[:1].expand(30, -1)}
    flat |= {"Ks": scene.Ks[:1].expand(2, -1, -1), "opacities": scene.opacities[:1].expand(30)}
    copied = {name: t.clone() for name, t in flat.items()}
    assert torch.equal(
        rasterization(**scene._replace(**flat)._asdict())[0],
        rasterization(**scene._replace(**copied)._asdict())[0],
    )


def test_only_focal_lengths_and_principal_point_are_read_of_K() -> None:
    scene = make_scene(30, seed=7)
    skewed = scene.Ks.clone()
    skewed[:, 0, 1], skewed[:, 1, 0], skewed[:, 2] = 7.0, -3.0, 5.0
    skewed.requires_grad_()
    got, _, _ = rasterization(*scene._replace(Ks=skewed))
    assert torch.equal(got, rasterization(*scene)[0])
    assert not got.requires_grad


def test_cpu_backend_wants_cpu_tensors() -> None:
    scene = [t.to("meta") if isinstance(t, Tensor) else t for t in make_scene(5)]
    with pytest.raises(BackendUnavailable, match="needs tensors on the CPU"):
        rasterization(*scene, backend="cpu")


def test_neutral_options_of_gsplat_are_accepted() -> None:
    scene = make_scene(5)
    got, _, _ = rasterization(
        *scene, packed=False, tile_size=8, channel_chunk=32, camera_model="pinhole", covars=None
    )
    assert torch.equal(got, rasterization(*scene)[0])


def test_expanded_gradients() -> None:
    """sum().backward() sends a gradient with stride 0, which must be copied and the copy kept alive."""
    scene = make_scene(30, 64, 64, seed=7).to(torch.float32)
    background = torch.zeros(2, 3, requires_grad=True)
    for _ in range(20):
        background.grad = None
        renders, alphas, _ = rasterization(*scene, backgrounds=background)
        renders.sum().backward()
        assert background.grad is not None
        want = (1 - alphas.detach().double()).sum((1, 2)).expand(2, 3)
        torch.testing.assert_close(background.grad.double(), want, rtol=1e-5, atol=0)


def test_non_contiguous_inputs() -> None:
    scene = make_scene(30, seed=7)
    strided = [
        t.transpose(0, -1).contiguous().transpose(0, -1) if isinstance(t, Tensor) else t for t in scene
    ]
    assert not strided[0].is_contiguous()
    assert torch.equal(rasterization(*strided)[0], rasterization(*scene)[0])
