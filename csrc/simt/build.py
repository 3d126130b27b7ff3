"""Compiles the CUDA sources with a C++ compiler against csrc/simt, as a Python module for the tests.

    python csrc/simt/build.py [plain|race|asan] [--instead FILE.cu --out FOLDER]

Prints the module's path. plain: as fast as the emulation goes. race: every access to memory is checked for a
barrier between it and others'. asan: AddressSanitizer and UBSan; the process that loads it needs libasan in
LD_PRELOAD. --instead FILE.cu: this file in place of the kernel file of the same name, for planted bugs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1]
VARIANTS = {
    "plain": ([], [], "races_off"),
    "race": (["-fsanitize=thread"], [], "races"),
    "asan": (["-fsanitize=address,undefined"], ["-fsanitize=address,undefined"], "races_off"),
}
"""Name => flags of the kernels, flags of everything else and of the link, the file of the race check."""


def flags() -> str:
    """Flags of every file. Not optimised much: building is most of the time."""
    import pybind11

    includes = [f"-isystem{path}" for path in (pybind11.get_include(), sysconfig.get_paths()["include"])]
    # Contraction off, as nvcc is told (--fmad=false); fmaf is one instruction where the processor has it.
    target = ["-mfma"] if os.uname().machine in ("x86_64", "amd64") else []
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    general = ["-std=c++17", "-O1", "-g", "-fPIC", "-fvisibility=hidden", "-fno-omit-frame-pointer"]
    return " ".join([*general, *warnings, "-ffp-contract=off", *target, *includes])


def ninja_file(variant: str, module: Path, instead: Path | None) -> str:
    """The build of one variant; with ``instead`` it takes the other objects from the variant's own build."""
    kernels, others, races = VARIANTS[variant]
    name = module.name.split(".")[0]
    lines = [
        "ninja_required_version = 1.5",
        f"cxx = {os.environ.get('CXX') or 'c++'}",
        f"flags = {flags()} -DSCTD_SIMT_MODULE={name}",
        "rule compile",
        "  command = $cxx $flags $extra -MMD -MF $out.d -x c++ -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = $cxx -shared {' '.join(others)} $in -o $out -ldl",
    ]
    jobs = [(path, kernels) for path in sorted((CSRC / "cuda").glob("*.cu"))]
    jobs += [(CSRC / "simt" / f"{stem}.cpp", others) for stem in ("runtime", "fiber", "bindings", races)]
    objects = []
    for path, extra in jobs:
        if instead is not None and path.name != instead.name:
            objects.append(str(folder(variant) / f"{path.name}.o"))
            continue
        objects.append(f"{path.name}.o")
        source = path if instead is None else instead
        lines += [f"build {path.name}.o: compile {source}", f"  extra = -I{CSRC / 'cuda'} {' '.join(extra)}"]
    return "\n".join([*lines, f"build {module}: link {' '.join(objects)}", ""])


def folder(variant: str) -> Path:
    """Where a variant is built."""
    return CSRC.parent / "build" / "simt" / variant


def build(variant: str, instead: Path | None = None, out: Path | None = None) -> Path:
    """Build a variant; returns the module's file. Raises CalledProcessError with the compiler's output."""
    if instead is not None:
        build(variant)
    out = (out or folder(variant)).resolve()
    out.mkdir(parents=True, exist_ok=True)
    module = out / f"_simt_{variant}{sysconfig.get_config_var('EXT_SUFFIX')}"
    ninja = Path(sysconfig.get_paths()["scripts"]) / "ninja"
    program = str(ninja) if ninja.exists() else shutil.which("ninja") or "ninja"
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in several processes build the same
        (out / "build.ninja").write_text(ninja_file(variant, module, instead and instead.resolve()))
        subprocess.run(
            [program, "-C", str(out)], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    return module


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", choices=list(VARIANTS), nargs="?", default="plain")
    parser.add_argument("--instead", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    try:
        sys.stdout.write(f"{build(arguments.variant, arguments.instead, arguments.out)}\n")
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.stdout.decode())


if __name__ == "__main__":
    main()
