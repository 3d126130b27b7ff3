"""Compiles the PTX executor as a Python module for the tests, and with nvcc the CUDA kernels to PTX.

    python csrc/ptx/build.py [--arch 80]

Prints the module's path. The PTX of each kernel file lies in the folder sm_80 beside it, or that of another
architecture; the module itself holds none, and can be told to load other text.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1]
BUILD = CSRC.parent / "build" / "ptx"
KERNELS = (
    *("adam", "blend_backward", "blend_forward", "project", "tiles"),
    *("triangle_draw", "triangle_shade", "texture"),
)
"""Files of csrc/cuda that hold kernels of ours."""


def flags() -> str:
    """Flags of the executor. Its lanes are vectors."""
    import pybind11

    includes = [f"-isystem{path}" for path in (pybind11.get_include(), sysconfig.get_paths()["include"])]
    target = ["-mavx2", "-mfma", "-mf16c"] if os.uname().machine in ("x86_64", "amd64") else []
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    general = ["-std=c++20", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing"]
    return " ".join([*general, *warnings, "-ffp-contract=off", *target, *includes])


def ninja_file(module: Path) -> str:
    """Executor, host code of the CUDA kernels over it, and what that needs of the emulation."""
    name = module.name.split(".")[0]
    lines = [
        "ninja_required_version = 1.5",
        f"cxx = {os.environ.get('CXX') or 'c++'}",
        f"flags = {flags()} -DSCTD_PTX_MODULE={name}",
        "rule compile",
        "  command = $cxx $flags $extra -MMD -MF $out.d -x c++ -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        "  command = $cxx -shared $in -o $out -ldl",
    ]
    jobs = [(path, "-O2") for path in sorted((CSRC / "ptx").glob("*.cpp")) if path.stem != "bindings"]
    hosted = [*sorted((CSRC / "cuda").glob("*.cu")), CSRC / "ptx" / "bindings.cpp"]
    jobs += [(path, f"-O1 -include {CSRC / 'ptx' / 'launch.h'}") for path in hosted]
    jobs += [(CSRC / "simt" / f"{stem}.cpp", "-O1") for stem in ("runtime", "fiber", "races_off")]
    for path, extra in jobs:
        lines += [f"build {path.name}.o: compile {path}", f"  extra = {extra}"]
    objects = " ".join(f"{path.name}.o" for path, _ in jobs)
    return "\n".join([*lines, f"build {module}: link {objects}", ""])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time: tests in several build the same."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build() -> Path:
    """Build the executor; returns the module's file. Raises CalledProcessError with the compiler's output."""
    BUILD.mkdir(parents=True, exist_ok=True)
    module = BUILD / f"_ptx{sysconfig.get_config_var('EXT_SUFFIX')}"
    ninja = Path(sysconfig.get_paths()["scripts"]) / "ninja"
    program = str(ninja) if ninja.exists() else shutil.which("ninja") or "ninja"
    with locked(BUILD / "lock"):
        (BUILD / "build.ninja").write_text(ninja_file(module))
        subprocess.run(
            [program, "-C", str(BUILD)], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    return module


def ptx(path: Path, arch: int) -> str:
    """PTX of a kernel file for an architecture, compiled as setup.py does; kept by what it was made of.

    Raises:
        FileNotFoundError: there is no nvcc in PATH.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise FileNotFoundError("no nvcc in PATH")
    command = [nvcc, "-std=c++17", "-O3", "-DNDEBUG", "--fmad=false", "-ptx", f"-arch=compute_{arch}"]
    release = subprocess.run([nvcc, "--version"], capture_output=True, check=True).stdout
    headers = sorted([*(CSRC / "cuda").glob("*.h"), *(CSRC / "include").glob("*.h")])
    made_of = hashlib.sha256(release + " ".join(command[1:]).encode())
    for source in (*headers, path):
        made_of.update(source.read_bytes())
    out = BUILD / "made" / f"{path.stem}-{made_of.hexdigest()[:16]}.ptx"
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_suffix(".lock")):
        if not out.exists():
            part = out.with_suffix(".part")
            command += ["-I", str(CSRC / "cuda"), "-o", str(part), str(path)]
            subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            part.replace(out)
    return out.read_text()


def build_ptx(arch: int) -> None:
    """PTX of every kernel file, to where ``backend="cuda-ptx"`` looks for it: beside the module."""
    folder = BUILD / f"sm_{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    for stem in KERNELS:
        text, out = ptx(CSRC / "cuda" / f"{stem}.cu", arch), folder / f"{stem}.ptx"
        if not out.exists() or out.read_text() != text:
            out.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", type=int, default=80)
    arguments = parser.parse_args()
    try:
        module = build()
        build_ptx(arguments.arch)
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.stdout.decode())
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    sys.stdout.write(f"{module}\n")


if __name__ == "__main__":
    main()
