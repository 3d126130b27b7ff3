"""Counts the instructions of every CPU kernel on a small fixed workload, against those committed.

    python -m benchmarks.instructions [--update]

Times on a shared machine say little below 20 %; instructions are the same on every run. The program
csrc/count/stages.cpp runs under valgrind's callgrind, compiled for AVX2 (callgrind knows no AVX-512), on one
thread. Counts depend on the compiler: they are compared only with those of the same one, major version too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTS = Path(__file__).with_suffix(".json")
SLACK = 0.03
"""Share by which a count may differ: less than any change worth a look, more than the C library's share."""

STAGES = (
    *("project_forward", "tiles_find", "tiles_write", "blend_forward", "blend_backward", "project_backward"),
    "adam",
    *("triangle_draw", "triangle_interpolate", "triangle_interpolate_backward", "triangle_edge_backward"),
    *("texture", "texture_backward"),
)
KERNELS = (
    *("project", "tiles", "blend_forward", "blend_backward", "diffusion", "variation", "adam"),
    *("triangle_draw", "triangle_shade", "texture"),
)
SHARED = ("corner_lists", "depth_sort", "dispatch", "scratch", "threads", "tiles_write")
# As setup.py has them, but for one instruction set, which then goes by the name of "baseline".
FLAGS = (
    *("-std=c++17", "-O3", "-DNDEBUG", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-signed-zeros", "-fno-optimize-sibling-calls", "-w"),
)
AVX2 = ("-mavx2", "-mfma", "-mbmi", "-DSCTD_ISA=baseline")


def compiler() -> str:
    """The C++ compiler, as one command."""
    return os.environ.get("CXX") or "c++"


def compiler_version() -> str:
    """Name and major version, for example "gcc 12"."""
    macros = subprocess.run(
        [*compiler().split(), "-dM", "-E", "-x", "c++", os.devnull],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, macro in (("clang", "__clang_major__"), ("gcc", "__GNUC__")):
        if found := re.search(rf"#define {macro} (\d+)", macros):
            return f"{name} {found[1]}"
    return "unknown"


def obstacle() -> str | None:
    """Why nothing can be counted here; None when it can."""
    if shutil.which("valgrind") is None:
        return "no valgrind in PATH"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"the committed counts are x86-64's, this is {platform.machine()}"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return None if " avx2 " in flags else "this processor has no AVX2"


def build(folder: Path) -> Path:
    """The program, compiled into ``folder``. Raises CalledProcessError with the compiler's output."""
    jobs = [(ROOT / f"csrc/cpu/{name}.cpp", AVX2) for name in KERNELS]
    jobs += [(ROOT / f"csrc/cpu/{name}.cpp", ()) for name in SHARED]
    jobs += [(ROOT / "csrc/count/stages.cpp", ())]

    def compile_one(job: tuple[Path, tuple[str, ...]]) -> str:
        source, extra = job
        target = folder / f"{source.stem}.o"
        # The namespace is the same everywhere: the dispatcher then finds one instruction set, "baseline".
        command = [*compiler().split(), *FLAGS, *extra, "-c", str(source), "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, jobs))
    program = folder / "stages"
    link = [*compiler().split(), *objects, "-o", str(program), "-pthread", "-ldl"]
    subprocess.run(link, check=True, capture_output=True, text=True)
    return program


def count() -> dict[str, int]:
    """Kernel => instructions of its second call."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = build(folder)
        command = [
            *("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"),
            *(f"--{what}=stage_{stage}" for stage in STAGES for what in ("zero-before", "dump-after")),
            str(program),
        ]
        environment = {"PATH": os.environ.get("PATH", ""), "SCTD_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        found: dict[str, int] = {}
        for dump in sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:])):
            text = dump.read_text()
            stage = re.search(r"--dump-after=stage_(\w+)", text)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if stage and total:
                found[stage[1]] = int(total[1])  # the second call comes last
        return found


def differences(counted: dict[str, int], committed: dict[str, int]) -> list[str]:
    """One line for every kernel whose count is off by more than the slack, either way."""
    lines = []
    for name in sorted(counted.keys() | committed.keys()):
        now, then = counted.get(name, 0), committed.get(name, 0)
        if abs(now - then) > SLACK * then:
            change = f"{(now - then) / then:+.1%}" if then else "new"
            lines.append(f"{name}: {now:,} instructions, committed {then:,} ({change})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the counts to be committed")
    update = parser.parse_args().update
    if why := obstacle():
        sys.exit(f"cannot count: {why}")
    counted = count()
    for name, instructions in counted.items():
        sys.stdout.write(f"{name:30s} {instructions:12,}\n")
    if update:
        COUNTS.write_text(json.dumps({"compiler": compiler_version(), "counts": counted}, indent=2) + "\n")
        return
    committed = json.loads(COUNTS.read_text())
    if committed["compiler"] != compiler_version():
        sys.exit(f"the committed counts are those of {committed['compiler']}, this is {compiler_version()}")
    if lines := differences(counted, committed["counts"]):
        sys.exit("\n".join([*lines, "if that is meant: python -m benchmarks.instructions --update"]))


if __name__ == "__main__":
    main()
