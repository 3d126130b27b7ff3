"""The report for a machine with a GPU, as far as one without can tell: its parts, its page, its refusal."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks.sass import tool as cuda_tool
from sctd.ops import _backend


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_report", Path(__file__).with_name("report.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_part_tells_what_became_of_it(report: ModuleType) -> None:
    good = report.run("good", [sys.executable, "-c", "print('noise'); print('3 passed')"], "passed")
    bad = report.run("bad", [sys.executable, "-c", "print('why'); raise SystemExit(3)"], "passed")
    missing = report.run("missing", ["/no/such/program"], "passed")
    assert (good.passed, good.said) == (True, "3 passed")
    assert (bad.passed, bad.said) == (False, "why")
    assert not missing.passed
    assert "FileNotFoundError" in missing.said


def test_the_page_shows_failures(report: ModuleType) -> None:
    parts = [
        report.Part("tests", "pytest", True, "3 passed"),
        report.Part("memcheck", "compute-sanitizer", False, "ERROR SUMMARY: 1 error"),
        report.Part("timings", "bench", True, "| a |\n|---|"),
    ]
    text = report.page(parts, {"device": "some GPU"})
    assert "## tests: passed" in text
    assert "## memcheck: FAILED" in text
    assert "```\nERROR SUMMARY: 1 error\n```" in text
    assert "\n| a |\n|---|\n" in text
    assert "| device | some GPU |" in text


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_compute_sanitizer_takes_its_options(report: ModuleType, tool: str) -> None:
    """Without a GPU it starts the program and ends with an error; wrong options it refuses before that."""
    command = report.sanitizing(tool)

    def said(options: list[str]) -> str:
        run = subprocess.run([*options, "true"], capture_output=True, text=True, check=False)
        return run.stdout + run.stderr

    assert said(command).startswith("========= COMPUTE-SANITIZER\n")
    assert "ill-formed" in said([*command[:-1], f"regex:{report.KERNELS}"])
    assert tool in report.SANITIZERS


def test_compute_sanitizer_is_told_names_that_our_kernels_have(
    report: ModuleType, need: Callable[[str, bool, str], None]
) -> None:
    need("cuda-compile", hasattr(_backend.native(), "cuda"), "built without nvcc")
    listed = subprocess.run(
        [cuda_tool("cuobjdump"), "-symbols", _backend.native().__file__],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = set(re.findall(r"^FUNC .* ENTRY .* (\S+)$", listed, re.MULTILINE))
    ours = {name for name in names if report.KERNELS in name}
    kernels = ("project_forward", "count_tiles", "blend_forward", "blend_backward", "adam", "add_slots")
    for kernel in kernels:
        assert any(f"{kernel}_kernel" in name for name in ours), kernel
    assert all("cub" in name for name in names - ours)


@pytest.mark.parametrize("command", [["-m", "benchmarks.gpu"], ["tests/gpu/report.py"]])
def test_without_a_gpu_it_says_so(command: list[str], repository: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    run = subprocess.run(
        [sys.executable, *command], cwd=repository, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "needs a CUDA device" in run.stderr
