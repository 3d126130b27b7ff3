"""Builds the native core, `sctd._native`, against neither torch nor numpy; no network, no GPU is probed.

Environment variables:
  SCTD_BUILD   auto (default) | cpu | cuda. `cuda` fails loudly where it cannot be built.
  MAX_JOBS     parallel compilers; default: the number of cores.
  CXX          C++17 compiler with GCC's vector extensions (g++ >= 9, clang++ >= 12); default: c++ or g++.
  CXXFLAGS     added to every compile command.
  SCTD_DEBUG   1: -O1 -g, assertions on.

The CPU kernels are compiled once per instruction set (x86-64: baseline, AVX2, AVX-512) and picked when the
module loads, so the result runs on every machine of the architecture; never -march=native.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
COMMON = [
    "csrc/bindings.cpp",
    *(f"csrc/cpu/{name}.cpp" for name in ("dispatch", "scratch", "threads", "tiles_write", "trace")),
]
KERNELS = [
    f"csrc/cpu/{name}.cpp" for name in ("project", "tiles", "blend_forward", "blend_backward", "elementwise")
]
X86_ISAS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mbmi"],
    "avx512": [
        *("-mavx2", "-mfma", "-mbmi", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw"),
        "-mprefer-vector-width=512",
    ],
}


def chosen_build() -> str:
    """SCTD_BUILD, checked. The CUDA sources are not part of this version, so `auto` means the CPU."""
    build = os.environ.get("SCTD_BUILD", "auto")
    if build not in ("auto", "cpu", "cuda"):
        raise SystemExit(f"SCTD_BUILD must be auto, cpu or cuda; got {build!r}")
    if build == "cuda":
        raise SystemExit("SCTD_BUILD=cuda: the CUDA backend is not available yet; use SCTD_BUILD=cpu")
    return "cpu"


def max_jobs() -> int:
    """MAX_JOBS, checked, or the number of cores."""
    text = os.environ.get("MAX_JOBS") or str(os.cpu_count() or 1)
    if not text.isdigit() or int(text) < 1:
        raise SystemExit(f"MAX_JOBS must be a whole number of at least 1; got {text!r}")
    return int(text)


def compiler() -> str:
    """The C++ compiler, as one command."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["c++", "g++", "clang++"]:
        if name and shutil.which(name.split()[0]):
            return name
    raise SystemExit(f"no C++ compiler: tried {wanted or 'c++, g++, clang++'}; install g++ or set CXX")


def isas() -> dict[str, list[str]]:
    """Instruction sets to compile the kernels for, with their flags."""
    return X86_ISAS if platform.machine().lower() in ("x86_64", "amd64") else {"baseline": []}


def common_flags() -> list[str]:
    """Flags of every compile command."""
    import pybind11

    flags = [f"-isystem{path}" for path in (pybind11.get_include(), sysconfig.get_paths()["include"])]
    flags += [
        "-std=c++17",
        "-fPIC",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-psabi",
        "-Wno-unknown-pragmas",
        "-Wno-maybe-uninitialized",  # GCC 12 reports its own AVX-512 header, and vectors filled lane by lane
    ]
    # Not fast-math: NaN must be seen. Contraction is explicit (madd): forward and backward must round alike.
    flags += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"]
    flags += ["-O1", "-g"] if os.environ.get("SCTD_DEBUG") == "1" else ["-O3", "-DNDEBUG"]
    if len(isas()) > 1:
        flags.append("-DSCTD_HAVE_X86_ISAS")
    return flags + os.environ.get("CXXFLAGS", "").split()


def escape(text: str) -> str:
    """A path as ninja wants it."""
    return text.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def ninja_file(target: Path) -> str:
    """The whole native build as one build.ninja."""
    link = "-shared" if sys.platform != "darwin" else "-bundle -undefined dynamic_lookup"
    lines = [
        "ninja_required_version = 1.5",
        f"cxx = {compiler()}",
        f"flags = {' '.join(common_flags())}",
        "rule compile",
        "  command = $cxx $flags $extra -MMD -MF $out.d -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "  description = $in $label",
        "rule link",
        f"  command = $cxx {link} $in -o $out -pthread",
        "  description = $out",
    ]
    objects = []
    jobs = [(source, "", []) for source in COMMON]
    jobs += [
        (source, isa, [*flags, f"-DSCTD_ISA={isa}"]) for isa, flags in isas().items() for source in KERNELS
    ]
    for source, isa, extra in jobs:
        obj = f"{Path(source).stem}{'.' + isa if isa else ''}.o"
        objects.append(obj)
        lines += [
            f"build {obj}: compile {escape(str(ROOT / source))}",
            f"  extra = {' '.join(extra)}",
            f"  label = {isa}",
        ]
    lines += [f"build {escape(str(target))}: link {' '.join(objects)}", ""]
    return "\n".join(lines)


def ninja() -> str:
    """The ninja program: the pip package's, else the system's."""
    try:
        from ninja import BIN_DIR
    except ImportError:
        found = shutil.which("ninja")
        if found is None:
            raise SystemExit("ninja is missing: pip install ninja") from None
        return found
    return str(Path(BIN_DIR) / "ninja")


class NinjaBuild(build_ext):
    """Compiles with ninja: parallel, and only what changed."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        folder = Path(self.build_temp).resolve()
        for path in (target.parent, folder):
            path.mkdir(parents=True, exist_ok=True)
        (folder / "build.ninja").write_text(ninja_file(target))
        print(
            f"sctd: building the CPU backend ({', '.join(isas())}) with {compiler()}, {max_jobs()} jobs",
            flush=True,
        )
        if subprocess.run([ninja(), "-C", str(folder), "-j", str(max_jobs())], check=False).returncode != 0:
            raise SystemExit("sctd: the native build failed; the compiler's message is above")


chosen_build()
max_jobs()  # asked for here too: a wrong value is refused before anything is imported or written
setup(
    packages=[*find_packages(include=["sctd", "sctd.*"]), "sctd_cli"],
    package_dir={"sctd": "sctd", "sctd_cli": "cli"},
    ext_modules=[Extension("sctd._native", sources=[*COMMON, *KERNELS])],
    cmdclass={"build_ext": NinjaBuild},
)
