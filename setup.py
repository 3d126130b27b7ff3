"""Builds the native core, `sctd._native`, against neither torch nor numpy; no network, no GPU is probed.

Environment variables:
  SCTD_BUILD   auto (default) | cpu | cuda. auto adds the CUDA kernels where nvcc 12.0 or newer is found
               (CUDA_HOME, else PATH); cuda fails loudly where they cannot be built. The choice is printed. A
               toolkit of PyPI's wheels will do: requirements-cuda.txt.
  SCTD_CUDA_ARCH_LIST  compute capabilities such as "8.0;9.0"; default: all that nvcc knows of 7.5 ... 12.0.
               The lowest and the highest are added as PTX, for those in between and for what comes after.
  SCTD_WERROR  1: what nvcc warns of is an error. For our own checks: another nvcc has other warnings.
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
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
COMMON = [
    "csrc/bindings.cpp",
    *(
        f"csrc/cpu/{name}.cpp"
        for name in (
            *("corner_lists", "depth_sort", "dispatch", "fusion", "scratch", "sculpt"),
            *("threads", "tiles_write", "trace"),
        )
    ),
]
KERNELS = [
    f"csrc/cpu/{name}.cpp"
    for name in (
        *("project", "tiles", "blend_forward", "blend_backward", "diffusion", "variation", "adam"),
        *("triangle_draw", "triangle_shade", "texture"),
    )
]
CUDA_KERNELS = [
    f"csrc/cuda/{name}.cu"
    for name in (
        *("project", "tiles", "blend_forward", "blend_backward", "adam", "primitives", "device"),
        *("triangle_draw", "triangle_shade", "texture"),
    )
]
# Compute capability without the dot => the first CUDA release whose compiler knows it.
OLDEST_CUDA = (12, 0)
CUDA_ARCHS = {
    **dict.fromkeys(("75", "80", "86", "89", "90"), OLDEST_CUDA),
    **dict.fromkeys(("100", "120"), (12, 8)),
}
X86_ISAS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mbmi"],
    "avx512": [
        *("-mavx2", "-mfma", "-mbmi", "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw"),
        "-mprefer-vector-width=512",
    ],
}


@cache
def chosen_build() -> str:
    """SCTD_BUILD, checked, with `auto` decided: "cpu" or "cuda"."""
    build = os.environ.get("SCTD_BUILD", "auto")
    if build not in ("auto", "cpu", "cuda"):
        raise SystemExit(f"SCTD_BUILD must be auto, cpu or cuda; got {build!r}")
    if build == "cpu":
        return "cpu"
    missing = no_cuda()
    if missing and build == "cuda":
        raise SystemExit(
            f"SCTD_BUILD=cuda: {missing}; install the CUDA toolkit, 12.0 or newer, or use SCTD_BUILD=cpu"
        )
    if missing:
        if nvcc() is not None:
            print(f"sctd: {missing}; the CUDA kernels, which need 12.0, are left out", file=sys.stderr)
        return "cpu"
    cuda_archs()  # refused now rather than by the compiler
    return "cuda"


def no_cuda() -> str:
    """Why the CUDA kernels cannot be compiled, or nothing."""
    if nvcc() is None:
        return "no nvcc in CUDA_HOME or PATH"
    version = cuda_version()
    if version is None:
        return f"{nvcc()} --version does not tell a release"
    return f"{nvcc()} is of CUDA {version[0]}.{version[1]}" if version < OLDEST_CUDA else ""


@cache
def nvcc() -> Path | None:
    """The CUDA compiler: CUDA_HOME's, else the first in PATH."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home:
        found = Path(home) / "bin" / "nvcc"
        return found if found.exists() else None
    on_path = shutil.which("nvcc")
    return Path(on_path).resolve() if on_path else None


@cache
def cuda_version() -> tuple[int, int] | None:
    """Of nvcc, for example (13, 0); None where it does not tell."""
    try:
        told = subprocess.run([str(nvcc()), "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    found = re.search(r"release (\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else None


def cuda_archs() -> list[str]:
    """Architectures to compile for, as nvcc writes them: "80", "90", ..."""
    known = [arch for arch, since in CUDA_ARCHS.items() if (cuda_version() or OLDEST_CUDA) >= since]
    wanted = os.environ.get("SCTD_CUDA_ARCH_LIST", "").replace(",", ";").replace(" ", ";")
    chosen = [item.replace(".", "") for item in wanted.split(";") if item] or known
    for arch in chosen:
        if not re.fullmatch(r"\d{2,3}[af]?", arch):
            raise SystemExit(f'SCTD_CUDA_ARCH_LIST must look like "8.0;9.0"; got {wanted!r}')
    return chosen


def ptx_archs() -> list[str]:
    """Those that are added as PTX: a driver compiles it for any later GPU, but not that of 90a or 100f."""
    lasting = sorted((arch for arch in cuda_archs() if arch.isdigit()), key=int)
    return sorted({*lasting[:1], *lasting[-1:]}, key=int)


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
        *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),  # GCC 12 reports its own AVX-512 header
    ]
    # Not fast-math: NaN must be seen. Contraction is explicit (madd): forward and backward must round alike.
    flags += ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"]
    flags += ["-O1", "-g"] if os.environ.get("SCTD_DEBUG") == "1" else ["-O3", "-DNDEBUG"]
    if len(isas()) > 1:
        flags.append("-DSCTD_HAVE_X86_ISAS")
    if chosen_build() == "cuda":
        flags.append("-DSCTD_CUDA")
    return flags + os.environ.get("CXXFLAGS", "").split()


def cuda_flags() -> list[str]:
    """Flags of every nvcc command."""
    flags = ["-std=c++17", "-O3", "-DNDEBUG", "--fmad=false", "-lineinfo"]
    flags += ["-Werror=all-warnings"] if os.environ.get("SCTD_WERROR") == "1" else []
    flags.append("-Xcompiler=-fPIC,-fvisibility=hidden")
    if len(os.environ.get("CXX", "").split()) == 1:
        flags.append(f"-ccbin={compiler()}")
    for arch in cuda_archs():
        flags.append(f"-gencode=arch=compute_{arch},code=sm_{arch}")
    return flags + [f"-gencode=arch=compute_{arch},code=compute_{arch}" for arch in ptx_archs()]


def cuda_libraries() -> str:
    """The CUDA runtime, static, so that the module loads on a machine without a driver."""
    # Asked of nvcc itself: the one in PATH may be a script that calls another.
    dry = subprocess.run(
        [str(nvcc()), "--dryrun", "-x", "cu", "-c", os.devnull], capture_output=True, text=True, check=True
    )
    line = next((text for text in dry.stderr.splitlines() if "LIBRARIES=" in text), "")
    folders = re.findall(r'"-L([^"]+)"', line)
    folders += [folder[:-2] for folder in folders if folder.endswith("lib64")]  # where PyPI's wheels have it
    return " ".join([*(f"-L{escape(folder)}" for folder in folders), "-lcudart_static", "-lrt", "-ldl"])


def escape(text: str) -> str:
    """A path as ninja wants it."""
    return text.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def ninja_file(target: Path) -> str:
    """The whole native build as one build.ninja."""
    link = "-shared" if sys.platform != "darwin" else "-bundle -undefined dynamic_lookup"
    libraries = cuda_libraries() if chosen_build() == "cuda" else ""
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
        f"  command = $cxx {link} $in -o $out {libraries} -pthread",
        "  description = $out",
    ]
    if chosen_build() == "cuda":
        lines += [
            f"nvcc = {nvcc()}",
            f"nvflags = {' '.join(cuda_flags())}",
            "rule cuda",
            "  command = $nvcc $nvflags -MD -MF $out.d -c $in -o $out",
            "  depfile = $out.d",
            "  deps = gcc",
            "  description = $in",
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
    for source in CUDA_KERNELS if chosen_build() == "cuda" else []:
        objects.append(f"{Path(source).stem}.cu.o")
        lines.append(f"build {objects[-1]}: cuda {escape(str(ROOT / source))}")
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
        cuda = f" and CUDA ({', '.join(cuda_archs())}) with {nvcc()}" if chosen_build() == "cuda" else ""
        print(
            f"sctd: building the CPU backend ({', '.join(isas())}) with {compiler()}{cuda}; "
            f"{max_jobs()} jobs",
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
