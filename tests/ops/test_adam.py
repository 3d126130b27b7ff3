"""Adam in one pass against torch's; neighbours; threads; what can run where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from raster_scenes import assert_error_at_most_twice

from sctd import ops
from sctd.errors import InputError
from sctd.ops import reference
from sctd.ops.adam import _adam

SETTINGS = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.99, "eps": 1e-15}


def run_steps(dtype: torch.dtype, backend: str, clip: float | None, size: int = 20011) -> list[torch.Tensor]:
    """Ten steps on tensors that are no multiple of any vector => param, exp_avg, exp_avg_sq, norms."""
    g = torch.Generator().manual_seed(0)
    param = torch.randn(size, generator=g).to(dtype)
    grads = torch.randn(10, size, generator=g).to(dtype)
    m, v, norms = torch.zeros_like(param), torch.zeros_like(param), []
    for i in range(10):
        arguments = {"step": i + 1, **SETTINGS, "grad_clip_norm": clip, "backend": backend}
        norms.append(ops.adam_step_(param, grads[i], m, v, **arguments))
    return [param, m, v, torch.tensor(norms, dtype=dtype)]


@pytest.mark.parametrize("clip", [None, 2.0, 1e6])
def test_matches_reference(clip: float | None) -> None:
    got, plain, exact = (
        run_steps(*which, clip)
        for which in ((torch.float32, "cpu"), (torch.float32, "reference"), (torch.float64, "reference"))
    )
    for a, b, c in zip(got, plain, exact, strict=True):
        assert_error_at_most_twice(a, b, c)
    for a, c in zip(run_steps(torch.float64, "cpu", clip), exact, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-12, atol=1e-13)


def test_matches_torch() -> None:
    g = torch.Generator().manual_seed(1)
    mine = torch.randn(100, generator=g, dtype=torch.float64)
    theirs = mine.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99), eps=1e-8)
    m, v = torch.zeros_like(mine), torch.zeros_like(mine)
    for i in range(5):
        grad = torch.randn(100, generator=g, dtype=torch.float64)
        theirs.grad = grad.clone()
        torch.nn.utils.clip_grad_norm_([theirs], 3.0)
        optimiser.step()
        norm = ops.adam_step_(
            mine, grad, m, v, step=i + 1, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-8, grad_clip_norm=3.0
        )
        assert norm == pytest.approx(grad.norm().item(), rel=1e-12)
    torch.testing.assert_close(mine, theirs.detach(), rtol=1e-10, atol=1e-12)


def test_bit_identical_for_any_number_of_threads() -> None:
    before = ops.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            ops.set_num_threads(threads)
            results.append(run_steps(torch.float32, "cpu", 2.0, size=100_003))
    finally:
        ops.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_empty_and_opcheck() -> None:
    none = torch.zeros(0)
    assert (
        ops.adam_step_(none, none, none.clone(), none.clone(), step=1, **SETTINGS, grad_clip_norm=1.0) == 0.0
    )
    args = [torch.randn(7), torch.zeros(7), torch.zeros(7), torch.randn(7)]
    torch.library.opcheck(_adam, (*args, 1e-3, 0.9, 0.99, 1e-8, 1, 2.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grad": torch.zeros(4)}, "grad must have shape"),
        ({"exp_avg": torch.zeros(5, dtype=torch.float64)}, "exp_avg must have the dtype of param"),
        ({"step": 0}, "step >= 1"),
        ({"beta2": 1.0}, "betas in 0..1"),
        ({"grad_clip_norm": 0.0}, "grad_clip_norm > 0"),
        ({"param": torch.zeros(10)[::2]}, "param must be contiguous"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    tensors = {n: torch.zeros(5) for n in ("param", "grad", "exp_avg", "exp_avg_sq")}
    with pytest.raises(InputError, match=message):
        ops.adam_step_(**{**tensors, "step": 1, **SETTINGS, **change})


def test_knn_mean_distance() -> None:
    points = torch.randn(500, 3)
    torch.testing.assert_close(ops.knn_mean_distance(points), reference.knn_mean_distance(points))
    grid = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert ops.knn_mean_distance(grid)[0].item() == pytest.approx(2.0)
    twins = torch.zeros(5, 3)
    assert ops.knn_mean_distance(twins).tolist() == [0.0] * 5
    with pytest.raises(InputError, match="got k=3 with N=3"):
        ops.knn_mean_distance(torch.zeros(3, 3))


def test_number_of_threads_is_checked() -> None:
    with pytest.raises(InputError, match="must be in 1"):
        ops.set_num_threads(0)


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
        [sys.executable, "-c", FORK], env=env, timeout=60, check=False, capture_output=True, text=True
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
