"""What setup.py makes of the compilers that it finds; stand-ins for nvcc tell their release, no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = "import runpy, sys; sys.argv[1:] = ['--name']; print(*runpy.run_path('setup.py')['cuda_flags']())"


def nvcc_of(folder: Path, says: str) -> Path:
    """A CUDA_HOME whose nvcc says this."""
    program = folder / "bin" / "nvcc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return folder


def release(number: str) -> str:
    return f"echo 'Cuda compilation tools, release {number}, V{number}.119'"


def python(
    repository: Path, command: list[str], home: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SCTD_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=repository,
        env={**kept, "CUDA_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (release("11.5"), "nvcc is of CUDA 11.5"),  # that of Ubuntu 22.04
        ("exit 1", "nvcc --version does not tell a release"),
        ("echo hello", "nvcc --version does not tell a release"),
    ],
)
@pytest.mark.parametrize("archs", ["", "8.0"])
def test_an_nvcc_that_will_not_do_is_left_alone(
    says: str, why: str, archs: str, repository: Path, tmp_path: Path
) -> None:
    home = nvcc_of(tmp_path, says)
    command = ["setup.py", "--name"]
    auto = python(repository, command, home, SCTD_CUDA_ARCH_LIST=archs)
    assert (auto.returncode, auto.stdout.splitlines()[-1:]) == (0, ["sctd"]), auto.stderr
    assert f"{why}; the CUDA kernels, which need 12.0, are left out" in auto.stderr
    cuda = python(repository, command, home, SCTD_CUDA_ARCH_LIST=archs, SCTD_BUILD="cuda")
    assert cuda.returncode == 1
    assert cuda.stderr.count("\n") == 1
    assert cuda.stderr.startswith("SCTD_BUILD=cuda: ")
    assert f"{why}; install the CUDA toolkit, 12.0 or newer" in cuda.stderr


@pytest.mark.parametrize(
    ("number", "archs", "ptx"),
    [
        ("12.0", "", ["75", "90"]),
        ("13.0", "", ["75", "120"]),
        ("13.0", "9.0 8.0", ["80", "90"]),
        ("13.0", "8.0", ["80"]),
        ("13.0", "8.0;9.0a", ["80"]),
    ],
)
def test_gpus_between_and_after_the_architectures_get_ptx(
    number: str, archs: str, ptx: list[str], repository: Path, tmp_path: Path
) -> None:
    home = nvcc_of(tmp_path, release(number))
    told = python(repository, ["-c", FLAGS], home, SCTD_CUDA_ARCH_LIST=archs)
    assert told.returncode == 0, told.stderr
    flags = told.stdout.split()
    assert [flag for flag in flags if ",code=compute_" in flag] == [
        f"-gencode=arch=compute_{arch},code=compute_{arch}" for arch in ptx
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_warnings_of_nvcc_are_errors_where_we_check(strict: bool, repository: Path, tmp_path: Path) -> None:
    home = nvcc_of(tmp_path, release("13.0"))
    told = python(repository, ["-c", FLAGS], home, **({"SCTD_WERROR": "1"} if strict else {}))
    assert told.returncode == 0, told.stderr
    assert ("-Werror=all-warnings" in told.stdout.split()) is strict
