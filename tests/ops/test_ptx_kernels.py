"""nvcc's and Triton's output under every schedule, for two architectures; planted bugs that must be found."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emulation import CSRC, ptx_build
from kernel_workload import optimised, scenes, triangle_values, values
from torch import Tensor

from sctd import ops
from sctd.ops import _backend, reference
from sctd.ops._new_memory import watching

CUDA = CSRC / "cuda"


@pytest.fixture
def executor(cuda_ptx: None) -> Iterator[ModuleType]:
    module = _backend.native_ptx()
    with ExitStack() as stack:
        stack.enter_context(deterministic())
        stack.enter_context(watching(module))
        yield module
        module.schedule()


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # the executor is to see what nobody wrote
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True


def workload(backend: str = "cuda-ptx") -> list[Tensor]:
    """Every CUDA kernel: pictures, gradients, two Adam steps."""
    found = [value for scene, options in scenes() for value in values(scene, options, backend)]
    return found + optimised(backend) + triangle_values(backend)


def assert_close(got: list[Tensor], want: list[Tensor]) -> None:
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        error, scale = (a - b).abs().max(), b.abs().max()
        assert error <= 2e-5 * scale + 1e-12, f"value {i}: {error:.2e} of {scale:.2e}"


@contextmanager
def loaded(executor: ModuleType, path: Path, arch: int = 80) -> Iterator[None]:
    """Inside, the kernels of this file, for this architecture, in place of the project's."""
    executor.load(ptx_build().ptx(path, arch))
    try:
        yield
    finally:
        executor.load(ptx_build().ptx(CUDA / path.name, 80))


@pytest.mark.parametrize("arch", [80, 120])
def test_the_same_bits_under_every_schedule(arch: int, executor: ModuleType) -> None:
    with ExitStack() as stack:
        for stem in ptx_build().KERNELS if arch != 80 else ():
            stack.enter_context(loaded(executor, CUDA / f"{stem}.cu", arch))
        lockstep = workload()
        for seed in (1, 2, 3):
            executor.schedule(seed)
            for a, b in zip(workload(), lockstep, strict=True):
                assert torch.equal(a, b), f"seed {seed}"
    assert_close(lockstep, workload("cpu"))


@pytest.mark.parametrize("seed", [0, 5])
def test_approximate_instructions_may_be_off_by_ulps(seed: int, executor: ModuleType) -> None:
    """Forward and backward take the same decisions all the same: no pixel flips."""
    executor.schedule(seed, True)
    assert_close(workload(), workload("cpu"))


# (file, what stands there, what is planted instead, what must be said; "" where the results differ)
Bug = tuple[str, str, str, str]
PLANTED: dict[str, Bug] = {
    "no barrier after the warps' partial sums": (
        *("project.cu", "mine] = total;\n        __syncthreads();", "mine] = total;"),
        "reads memory that nothing has written; kernel project_backward_kernel",
    ),
    "no barrier after the warps' norms": (
        "adam.cu",
        "norms[group] = a.norms[group] = norm;\n    __syncthreads();",
        "norms[group] = a.norms[group] = norm;",
        "reads memory that nothing has written; kernel adam_factors_kernel",
    ),
    "a warp leaves a loop early": (
        *("blend_forward.cu", "if (__all_sync(kFull, finished)) return true;", "if (finished) return true;"),
        "deadlock: .*kernel blend_forward_kernel",
    ),
    "threads leave before a barrier": (
        "project.cu",
        "    GaussianGrad<float> sum{};\n",
        "    if (!inside) return;\n    GaussianGrad<float> sum{};\n",
        "deadlock: .*has left; kernel project_backward_kernel",
    ),
    "an addition that is not atomic": (
        *("tiles.cu", "atomicAdd(&totals[base + owner], tiles)", "totals[base + owner] += tiles"),
        "",
    ),
    "a mask without the caller": (
        *("tiles.cu", "__shfl_sync(kFull, end, kWarp - 1)", "__shfl_sync(0xffffu, end, 15)"),
        "its mask does not name; kernel .*thread 16",
    ),
    "a shuffle from outside the mask": (
        "tiles.cu",
        "__shfl_sync(kFull, upto, kWarp - 1)",
        "__shfl_sync(kFull >> 1, lane < 31 ? upto : 0, kWarp - 1)",
        "its mask does not name|reads lane 31, which is not in its mask",
    ),
    "padding that nobody writes": (
        *("blend_forward.cu", "slab[n] = none;", "(void)none;"),
        "reads memory that nothing has written; kernel blend_forward_kernel",
    ),
    "an output that is forgotten": (
        *("blend_forward.cu", "a.last[pixel] = p.last;", ""),
        "reads memory that nothing has written; kernel blend_backward_kernel",
    ),
    "a slab that is too small": (
        *("blend_backward.cu", "SHARED(Packed, slabs, kTileThreads);", "SHARED(Packed, slabs, 127);"),
        "out of range: .*of shared memory; kernel blend_backward_kernel",
    ),
    "lanes without a pixel leave before the sum": (
        "triangle_shade.cu",
        "    __syncwarp();\n    const Halves",
        "    if (sums[0] == 0) return;\n    const Halves",
        "deadlock: .*has left; kernel (attribute|weight|force)_sums_kernel",
    ),
    "a sum that is not written": (
        *("triangle_shade.cu", "if (at >= 0) out[number", "if (at > 0) out[number"),
        "reads memory that nothing has written; kernel (attributes|vertices)_kernel",
    ),
    "a texel too many": (
        *("texture.cu", "if (texel >= int64_t(a.width) * a.height) return;", ""),
        "out of range: ",
    ),
    "a row too many": (
        *("project.cu", "if (i >= a.count) return;", "if (i > a.count) return;"),
        "out of range: ",
    ),
}


def planted(folder: Path, name: str, old: str, new: str) -> Path:
    text = (CUDA / name).read_text()
    assert text.count(old) >= 1, f"{name} has no {old!r}"
    mutant = folder / name
    mutant.write_text(text.replace(old, new, 1))
    return mutant


def fault_of(executor: ModuleType, seed: int, want: list[Tensor]) -> str:
    """What the executor says of the workload, "different" where its results are others, or nothing."""
    executor.schedule(seed)
    try:
        got = workload()
    except RuntimeError as error:
        return str(error)
    return "" if all(torch.equal(a, b) for a, b in zip(got, want, strict=True)) else "different"


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str, executor: ModuleType, tmp_path: Path) -> None:
    name, old, new, message = PLANTED[bug]
    want = workload()
    with loaded(executor, planted(tmp_path, name, old, new)):
        found = [fault_of(executor, seed, want) for seed in (0, 1)]
    assert any(re.search(message or "^different$", text, re.DOTALL) for text in found), found


def test_a_missing_syncwarp_passes_in_lockstep_and_fails_under_a_hostile_schedule(
    executor: ModuleType, tmp_path: Path
) -> None:
    mutant = planted(
        tmp_path, "blend_backward.cu", "        __syncwarp();\n        const int n", "        const int n"
    )
    want = workload()
    with loaded(executor, mutant):
        assert fault_of(executor, 0, want) == ""
        assert "reads memory that nothing has written; kernel blend_backward" in fault_of(executor, 1, want)


# --- Triton -------------------------------------------------------------------------------------------------


@pytest.fixture
def triton_executor(ptx_module: str, need: Callable[[str, bool, str], None]) -> Iterator[ModuleType]:
    need("triton-ptx", find_spec("triton") is not None, "run `pip install triton` (Linux)")
    module = _backend.native_ptx()
    with watching(module):
        yield module
        module.schedule()


def residual(backend: str) -> tuple[Tensor, ...]:
    """Finite latents under weights for which a product is rounded."""
    g = torch.Generator().manual_seed(0)
    z = [torch.randn(3, 4, 17, 23, generator=g) for _ in range(3)]
    weight = torch.tensor([0.3, 0.7, 1.1])
    return ops.sctd_residual(*z, weight, 7.5, backend=backend)


def old_residual(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The residual kernel as it was: it found infinite numbers by a difference, which contraction changes."""
    from sctd.ops import _triton_residual

    now = '~(tl.abs(grad) < float("inf"))'
    text = Path(str(_triton_residual.__file__)).read_text()
    assert text.count(now) == 1
    file = folder / "old_residual.py"
    file.write_text(text.replace(now, "(grad - grad != 0)"))
    spec = importlib.util.spec_from_file_location("old_residual", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "old_residual", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(_triton_residual, "residual_kernel", module.residual_kernel)


def test_a_contraction_is_seen_where_triton_s_ptx_is_executed_and_nowhere_else(
    triton_executor: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old line counted every finite number as not finite on a GPU, and none in the interpreter."""
    from benchmarks.triton_ptx import executing

    with executing():
        assert residual("triton-ptx")[1][:, 2].tolist() == [0, 0, 0]
    old_residual(tmp_path, monkeypatch)
    assert residual("triton-interpret")[1][:, 2].tolist() == [0, 0, 0]
    with executing():
        assert (residual("triton-ptx")[1][:, 2] > 1000).all()


def triton_results(dtype: torch.dtype, backend: str) -> list[Tensor]:
    """Kernels of latents in storage of a type; backend "reference": the definition, in double."""
    g = torch.Generator().manual_seed(1)
    z = [torch.randn(2, 4, 17, 23, generator=g).to(dtype) for _ in range(5)]
    levels = [torch.tensor([x, x - 0.2]) for x in (0.9, 0.4, 0.8, 0.6, 0.7, 0.7)]
    pairs = [(levels[i], levels[i + 1]) for i in (0, 2, 4)]
    wrong = torch.stack(z[3:5], 1), -torch.stack(levels[:2], 1)
    module: Any = ops
    if backend == "reference":
        module, z = reference, [t.double() for t in z]
        pairs = [(a.double(), b.double()) for a, b in pairs]
        wrong = wrong[0].double(), wrong[1].double()
        backends: dict[str, str] = {}
    else:
        backends = {"backend": backend}
    ones = [t.flatten(1)[:, :1] for t in z[:2]]  # one element an image: a constant to Triton
    return [
        module.noise(*z[:2], *pairs[0], **backends),
        module.noise(*ones, *pairs[0], **backends),
        *module.cfg_ode_steps(*z[:3], 7.5, *pairs, prediction="v_prediction", **backends),
        *module.cfg_ode_steps(*z[:3], 7.5, *pairs, wrong=wrong, prediction="epsilon", **backends),
        *module.sctd_residual(*z[:3], pairs[0][0].to(z[0].dtype), 7.5, **backends),
    ]


@pytest.mark.parametrize("arch", [80, 120])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_triton_under_every_schedule_and_in_every_storage(
    dtype: torch.dtype, arch: int, triton_executor: ModuleType
) -> None:
    """Schedules change no bit, jitter none but the last: the definition is obeyed up to rounding."""
    from benchmarks.triton_ptx import executing

    exact = triton_results(dtype, "reference")
    with executing(arch):
        lockstep = triton_results(dtype, "triton-ptx")
        triton_executor.schedule(3)
        hostile = triton_results(dtype, "triton-ptx")
        triton_executor.schedule(0, True)
        jittered = triton_results(dtype, "triton-ptx")
    for a, b, c, want in zip(lockstep, hostile, jittered, exact, strict=True):
        assert torch.equal(a, b)
        eps = torch.finfo(a.dtype).eps
        for got in (a, c):
            assert got.isfinite().all()
            assert (got.double() - want).abs().max() <= 8 * eps * want.abs().max() + 1e-12


def test_the_backends_are_for_tests_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from sctd.errors import BackendUnavailable

    z, level = torch.zeros(1, 4), torch.ones(1)
    with pytest.raises(BackendUnavailable, match="for tests: it works inside"):
        ops.noise(z, z, level, level, backend="triton-ptx")
    monkeypatch.delenv("SCTD_PTX_MODULE", raising=False)
    with pytest.raises(BackendUnavailable, match="build it with `make ptx` and set SCTD_PTX_MODULE"):
        _backend.native_ptx.__wrapped__()
