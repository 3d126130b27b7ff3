"""The report for a machine with a GPU, as far as one without can tell: its parts, its page, its refusal."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

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


def tiny(report: ModuleType, folder: Path, name: str, command: str) -> Any:
    """A job that notes that it ran, in place of one that takes minutes on a GPU."""
    noted = f"open('runs', 'a').write('{name} ')"
    code = f"import os; os.chdir({str(folder)!r}); {noted}; {command}"
    return report.Job(name, [sys.executable, "-c", code], "said")


def test_results_are_written_as_they_come_and_a_second_run_goes_on(
    report: ModuleType, tmp_path: Path
) -> None:
    """Tiny commands stand in for the parts: the order, the file and the resumption are what is tested."""
    kept, pages = tmp_path / "build" / "kept.json", []
    jobs = [
        tiny(report, tmp_path, "first", "print('said 1')"),
        tiny(report, tmp_path, "second", "raise SystemExit(not os.path.exists('mended'))"),
        tiny(report, tmp_path, "third", "print('said 3')"),
    ]

    def write(parts: list[Any]) -> None:
        pages.append([(part.name, part.passed) for part in parts])

    def cut_off(name: str, *rest: Any) -> Any:
        if name == "third":
            raise KeyboardInterrupt
        return report.run(name, *rest)

    with pytest.raises(KeyboardInterrupt):
        report.run_all(jobs, kept, "these files", write, cut_off)
    assert pages == [[("first", True)], [("first", True), ("second", False)]]
    assert (tmp_path / "runs").read_text() == "first second "
    (tmp_path / "mended").touch()
    found = report.run_all(jobs, kept, "these files", write)
    assert [(part.name, part.passed, part.said) for part in found] == [
        ("first", True, "said 1"),
        ("second", True, ""),
        ("third", True, "said 3"),
    ]
    assert (tmp_path / "runs").read_text() == "first second second third ", "what passed is not run again"
    report.run_all(jobs, kept, "other files", write)
    assert (tmp_path / "runs").read_text().endswith(" third first second third ")


def test_the_most_valuable_parts_come_first(report: ModuleType) -> None:
    jobs = report.jobs()
    assert [job.quick for job in jobs] == sorted((job.quick for job in jobs), reverse=True)
    assert [job.name for job in jobs if not job.quick] == [
        "all tests",
        *report.SANITIZERS,
        "timings of all sizes",
    ]
    assert len({job.name for job in jobs}) == len(jobs)
    assert sum(" generate " in " ".join(job.command) for job in jobs if job.quick) == 1


def test_the_report_of_an_emulated_device_says_that_it_is_one(
    report: ModuleType, simt_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real workload, run, kept and written as on a GPU."""
    monkeypatch.setattr(report, "KEPT", tmp_path / "kept.json")
    target = tmp_path / "page.md"
    assert report.main(["--emulated", "--quick", "--page", str(target)]) == 0
    text = target.read_text()
    assert "| device | none: EMULATED on a CPU, nothing here is of a GPU |" in text
    assert "## every kernel, once: passed" in text
    assert re.search(r"^[0-9a-f]{64}$", text, re.MULTILINE), "the digest of what it computed"


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
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = set(re.findall(r"^FUNC .* ENTRY .* (\S+)$", listed, re.MULTILINE))
    ours = {name for name in names if report.KERNELS in name}
    kernels = ("project_forward", "count_tiles", "blend_forward", "blend_backward", "adam", "add_slots")
    for kernel in kernels:
        assert any(f"{kernel}_kernel" in name for name in ours), kernel
    assert all("cub" in name for name in names - ours)


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "benchmarks.gpu"],
        ["-m", "benchmarks.gpu_ops"],
        ["-m", "benchmarks.gpu_triangles"],
        ["tests/gpu/report.py"],
    ],
)
def test_without_a_gpu_it_says_so(command: list[str], repository: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    run = subprocess.run(
        [sys.executable, *command], cwd=repository, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "needs a CUDA device" in run.stderr
