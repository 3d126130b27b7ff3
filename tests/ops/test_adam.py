"""Adam in one pass against torch's; neighbours; threads; what can run where."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from raster_scenes import device_of, on_every_backend
from rounding import Truth, assert_rounded_alone, by_definition

from sctd import ops
from sctd.errors import BackendUnavailable, InputError
from sctd.ops import AdamGroup, _backend
from sctd.ops.adam import _adam

BETAS = {"beta1": 0.9, "beta2": 0.99}
SHAPES = ((6701, 3), (6701, 4), (6701,), (6701, 1, 3))
"""No multiple of any vector or block; rows of every length that Gaussians have."""


def make_groups(
    dtype: torch.dtype, shapes: tuple[tuple[int, ...], ...] = SHAPES, backend: str = "cpu"
) -> list[AdamGroup]:
    g = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=g).to(device_of(backend), dtype) for shape in shapes]
    return [AdamGroup(p, *(torch.zeros_like(p) for _ in range(3))) for p in params]


def run_steps(
    dtype: torch.dtype,
    backend: str,
    clip: float | None,
    sparse: bool = False,
    shapes: tuple[tuple[int, ...], ...] = SHAPES,
) -> list[torch.Tensor]:
    """Ten steps, each group with a rate of its own => params and moments, then the norms of all steps."""
    g = torch.Generator().manual_seed(1)
    groups, norms, device = make_groups(dtype, shapes, backend), [], device_of(backend)
    lrs = [3e-3 * (i + 1) for i in range(len(groups))]
    for step in range(1, 11):
        for group in groups:
            group.grad.copy_(torch.randn(group.grad.shape, generator=g))
        visible = (torch.rand(shapes[0][0], generator=g) < 0.3).to(device) if sparse else None
        schedule = ops.adam_schedule(lrs, step=step, grad_clip_norm=clip, device=device, **BETAS)
        norms.append(ops.adam_step_(groups, schedule, **BETAS, eps=1e-15, visible=visible, backend=backend))
    moved = [t for group in groups for t in (group.param, group.exp_avg, group.exp_avg_sq)]
    return [t.cpu() for t in (*moved, *norms)]


@functools.cache
def truths(clip: float | None, sparse: bool) -> list[Truth]:
    """By the definition, for every backend."""
    return by_definition(lambda: run_steps(torch.float64, "reference", clip, sparse))


@on_every_backend
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("clip", [None, 2.0, 1e6])
def test_matches_reference(clip: float | None, sparse: bool, backend: str) -> None:
    got = run_steps(torch.float32, backend, clip, sparse)
    for i, (value, truth) in enumerate(zip(got, truths(clip, sparse), strict=True)):
        if value.dtype == torch.float64:  # norms: of float32 gradients, summed in double
            torch.testing.assert_close(value, truth.exact, rtol=1e-12, atol=0)
        else:
            assert_rounded_alone(value, truth, f"tensor {i}")
    if backend == "cpu":
        for value, truth in zip(
            run_steps(torch.float64, "cpu", clip, sparse), truths(clip, sparse), strict=True
        ):
            torch.testing.assert_close(value, truth.exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", ["cpu", "cuda-simt", "cuda-ptx", "reference"])
def test_matches_torch(backend: str) -> None:
    g = torch.Generator().manual_seed(1)
    mine = AdamGroup(torch.randn(100, generator=g), *(torch.zeros(100) for _ in range(3)))
    theirs = mine.param.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99), eps=1e-8)
    for step in range(1, 6):
        mine.grad.copy_(torch.randn(100, generator=g))
        theirs.grad = mine.grad.clone()
        torch.nn.utils.clip_grad_norm_([theirs], 3.0)
        optimiser.step()
        schedule = ops.adam_schedule([0.01], step=step, grad_clip_norm=3.0, **BETAS)
        norm = ops.adam_step_([mine], schedule, **BETAS, eps=1e-8, backend=backend)
        assert norm.item() == pytest.approx(mine.grad.double().norm().item(), rel=1e-12)
    torch.testing.assert_close(mine.param, theirs.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backend", ["cpu", "cuda-simt", "cuda-ptx", "reference"])
def test_rows_that_are_not_visible_keep_everything(backend: str) -> None:
    groups = make_groups(torch.float32, ((300, 3), (300,)))
    for group in groups:
        for t in group[1:]:
            t.copy_(torch.rand(t.shape))
    before = [[t.clone() for t in group] for group in groups]
    visible = torch.arange(300) % 7 == 0
    schedule = ops.adam_schedule([0.1, 0.1], step=3, **BETAS)
    ops.adam_step_(groups, schedule, **BETAS, eps=1e-8, visible=visible, backend=backend)
    for group, old in zip(groups, before, strict=True):
        for name in ("param", "exp_avg", "exp_avg_sq"):
            now, was = getattr(group, name), old[AdamGroup._fields.index(name)]
            assert torch.equal(now[~visible], was[~visible]), name
            assert (now[visible] != was[visible]).any(), name


@pytest.mark.parametrize("backend", ["cpu", "cuda-simt", "cuda-ptx", "reference"])
def test_a_skipped_step_changes_nothing(backend: str) -> None:
    groups = make_groups(torch.float32, ((50, 3), (50,)))
    for group in groups:
        group.grad.fill_(1.0)
    before = [group.param.clone() for group in groups]
    schedule = ops.adam_schedule([0.1, 0.1], step=1, grad_clip_norm=1.0, **BETAS)
    for skip in (True, False):
        flag = torch.tensor(skip)
        ops.adam_step_(groups, schedule, **BETAS, eps=1e-8, skip=flag, backend=backend)
        same = [torch.equal(group.param, old) for group, old in zip(groups, before, strict=True)]
        assert same == [skip, skip]


@on_every_backend
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(
    value: float, clip: float | None, backend: str
) -> None:
    """Not even the other groups: the step would be another one without it."""
    device = device_of(backend)
    groups = make_groups(torch.float32, ((5000, 3), (5000,)), backend)
    for group in groups:
        group.grad.fill_(1.0)
    groups[1].grad[4321] = value
    before = [t.clone() for group in groups for t in group[::3] + group[2:3]]
    schedule = ops.adam_schedule([0.1, 0.1], step=1, grad_clip_norm=clip, device=device, **BETAS)
    norms = ops.adam_step_(groups, schedule, **BETAS, eps=1e-8, backend=backend)
    assert norms.isfinite().tolist() == [True, False]
    assert norms[0].item() == pytest.approx(15000**0.5)
    after = [t for group in groups for t in group[::3] + group[2:3]]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    groups[1].grad[4321] = 1.0
    ops.adam_step_(groups, schedule, **BETAS, eps=1e-8, backend=backend)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@on_every_backend
def test_a_watched_gradient_counts_too(backend: str) -> None:
    device = device_of(backend)
    groups = make_groups(torch.float32, ((50, 3), (50,)), backend)
    for group in groups:
        group.grad.fill_(1.0)
    before = [group.param.clone() for group in groups]
    schedule = ops.adam_schedule([0.1, 0.1], step=1, grad_clip_norm=1.0, device=device, **BETAS)
    watched = torch.full((4, 7), 2.0, device=device)
    for bad in (True, False):
        watched[3, 6] = torch.inf if bad else 2.0
        norms = ops.adam_step_(groups, schedule, **BETAS, eps=1e-8, watched=watched, backend=backend)
        same = [torch.equal(group.param, old) for group, old in zip(groups, before, strict=True)]
        assert same == [bad, bad]
    assert norms.tolist() == pytest.approx([150**0.5, 50**0.5, 112**0.5])


def test_bit_identical_for_any_number_of_threads() -> None:
    before = ops.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            ops.set_num_threads(threads)
            results.append(run_steps(torch.float32, "cpu", 2.0, shapes=((100_003,),)))
    finally:
        ops.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@on_every_backend
def test_empty_groups(backend: str) -> None:
    device = device_of(backend)
    schedule = ops.adam_schedule([0.1, 0.1], step=1, grad_clip_norm=1.0, device=device, **BETAS)
    none = make_groups(torch.float32, ((0, 3), (0,)), backend)
    assert ops.adam_step_(none, schedule, **BETAS, eps=1e-8, backend=backend).tolist() == [0.0, 0.0]
    watched = torch.full((3, 3), 2.0, device=device)
    norms = ops.adam_step_(none, schedule, **BETAS, eps=1e-8, watched=watched, backend=backend)
    assert norms.tolist() == [0.0, 0.0, 6.0]
    mixed = make_groups(torch.float32, ((0, 3), (5,)), backend)
    mixed[1].grad.fill_(2.0)
    norms = ops.adam_step_(mixed, schedule, **BETAS, eps=1e-8, backend=backend)
    assert norms.tolist() == pytest.approx([0.0, 20**0.5])


@on_every_backend
def test_a_parameter_without_dimensions(backend: str) -> None:
    """Adam's first step is the learning rate long, whatever the gradient."""
    device = device_of(backend)
    schedule = ops.adam_schedule([0.1], step=1, device=device, **BETAS)
    (group,) = make_groups(torch.float32, ((),), backend)
    group.param.fill_(3.0), group.grad.fill_(-2.0)
    assert ops.adam_step_([group], schedule, **BETAS, eps=1e-8, backend=backend).tolist() == [2.0]
    assert group.param.item() == pytest.approx(3.1)


@on_every_backend
def test_opcheck(backend: str) -> None:
    """All but autograd's check: the step is no differentiable function."""
    columns = zip(*make_groups(torch.float32, ((7, 3), (7,)), backend), strict=True)
    schedule = ops.adam_schedule([0.1, 0.1], step=1, device=device_of(backend), **BETAS)
    torch.library.opcheck(
        _adam,
        (
            *([*column] for column in columns),
            torch.ones(3, device=device_of(backend)),
            schedule,
            None,
            None,
            0.9,
            0.99,
            1e-8,
            backend,
        ),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grad": torch.zeros(4)}, "grad must have shape"),
        ({"exp_avg": torch.zeros(5, dtype=torch.float64)}, "exp_avg must have the dtype of param of group 0"),
        ({"param": torch.zeros(10)[::2]}, "param of group 0 must be contiguous"),
        ({"schedule": torch.zeros(2, dtype=torch.float64)}, r"schedule must have shape \[3\]"),
        ({"schedule": torch.zeros(3)}, "schedule must be torch.float64 on cpu"),
        ({"schedule": torch.zeros(6).double()[::2]}, r"schedule must be contiguous; got strides \(2,\)"),
        ({"visible": torch.ones(5)}, "visible must be torch.bool"),
        ({"visible": torch.ones(4, dtype=torch.bool)}, "visible must have an entry for each row"),
        ({"skip": torch.zeros(2, dtype=torch.bool)}, "skip must be one bool"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    tensors = {n: change.pop(n, torch.zeros(5)) for n in AdamGroup._fields}
    schedule = change.pop("schedule", ops.adam_schedule([0.1], step=1, **BETAS))
    with pytest.raises(InputError, match=message):
        ops.adam_step_([AdamGroup(**tensors)], schedule, **BETAS, eps=1e-8, **change)


def test_number_of_groups_and_numbers_are_checked() -> None:
    schedule = ops.adam_schedule([0.1] * 9, step=1, **BETAS)
    for groups in ([], make_groups(torch.float32, ((2,),) * 9)):
        with pytest.raises(InputError, match=f"1 to 8 groups; got {len(groups)}"):
            ops.adam_step_(groups, schedule, **BETAS, eps=1e-8)
    for wrong in ({"step": 0}, {"beta2": 1.0}, {"grad_clip_norm": 0.0}):
        with pytest.raises(InputError, match=r"step >= 1, betas in 0\.\.1 and grad_clip_norm > 0"):
            ops.adam_schedule([0.1], **{"step": 1, **BETAS, **wrong})


def test_number_of_threads_is_checked() -> None:
    with pytest.raises(InputError, match="must be in 1"):
        ops.set_num_threads(0)


def test_a_slow_way_out_is_said_once() -> None:
    """On a CUDA device what the kernels cannot do runs as plain torch; there is none here, so a stand-in."""

    class Elsewhere:
        device, dtype = torch.device("cuda"), torch.float64

    _backend._say_slow.cache_clear()
    with pytest.warns(
        UserWarning, match=r"GPU kernels compute in float32, torch\.float64 runs as plain torch"
    ) as said:
        chosen = [_backend.choose("auto", Elsewhere(), ("cpu", "cuda")) for _ in range(2)]  # type: ignore[arg-type]
    assert chosen == ["reference", "reference"]
    assert len(said) == 1


def test_an_op_without_gpu_kernels_says_so_once() -> None:
    class Elsewhere:
        device, dtype = torch.device("cuda"), torch.float32

    _backend._say_slow.cache_clear()
    with pytest.warns(
        UserWarning, match="no kernel for a GPU yet; plain torch is used, which is slow"
    ) as said:
        chosen = [_backend.choose("auto", Elsewhere(), ("cpu",)) for _ in range(2)]  # type: ignore[arg-type]
    assert chosen == ["reference", "reference"]
    assert len(said) == 1


@pytest.mark.filterwarnings("ignore:the CUDA kernels are built, but cannot run:UserWarning")
def test_kernels_that_cannot_run_are_not_chosen(need: Callable[[str, bool, str], None]) -> None:
    """No driver, too old a driver, no code for the GPU: a build for CUDA tells, before a launch fails."""
    need("cuda-compile", hasattr(_backend.native(), "cuda"), "built without nvcc")

    class Elsewhere:
        device, dtype = torch.device("cuda"), torch.float32

    missing = _backend.native_cuda().missing_device()
    chosen = _backend.choose("auto", Elsewhere(), ("cpu", "cuda"))  # type: ignore[arg-type]
    assert chosen == ("reference" if missing else "cuda")
    if missing:
        with pytest.raises(BackendUnavailable, match=f"built, but cannot run: {re.escape(missing)}"):
            _backend.choose("cuda", Elsewhere(), ("cpu", "cuda"))  # type: ignore[arg-type]


def test_backends_say_what_they_are() -> None:
    found = ops.backends()
    assert found["cpu"][0], found["cpu"][1]
    assert "threads" in found["cpu"][1]
    assert found["reference"][0]


FORK = """
import os, torch
from sctd import ops
def work():
    z, level = torch.ones(64, 4, 64, 64), torch.full((64,), 0.5)
    return ops.noise(z, z, level, level).sum().item()
want = work()
pid = os.fork()
if pid == 0:
    os._exit(0 if work() == want else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_works_after_fork() -> None:
    """A forked child has no worker threads; it must build its own instead of waiting for them."""
    env = {**os.environ, "SCTD_NUM_THREADS": "4", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", FORK], env=env, timeout=600, check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SCTD_BUILD", "gpu", "SCTD_BUILD must be auto, cpu or cuda; got 'gpu'"),
        ("MAX_JOBS", "many", "MAX_JOBS must be a whole number"),
    ],
)
def test_build_refuses_in_one_line(
    repository: Path, tmp_path: Path, variable: str, value: str, message: str
) -> None:
    run = subprocess.run(
        [
            sys.executable,
            "setup.py",
            "build_ext",
            "--build-lib",
            str(tmp_path),
            "--build-temp",
            str(tmp_path),
        ],
        cwd=repository,
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr
