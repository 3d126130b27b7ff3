"""Everything to run on the first machine that has a GPU, and the page to commit of it.

    make gpu        or: python tests/gpu/report.py [--page docs/gpu_report.md]

1 the tests marked gpu: every CUDA kernel against its definition, graphs, streams, full size
2 compute-sanitizer over every kernel: memory, races, barriers, uninitialised memory
3 timings, beside gsplat where it is installed
The page holds what came out, passed or not; the exit code is 1 unless all passed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
KERNELS = "sctd"
"""What the mangled names of our kernels have in common, and those of torch and CUB have not."""
MINUTES = 20
"""After so long a part has failed."""


@dataclass(frozen=True)
class Part:
    """One command and what became of it."""

    name: str
    command: str
    passed: bool
    said: str


def run(name: str, command: Sequence[str], summary: str, environment: dict[str, str] | None = None) -> Part:
    """Run a command; ``summary`` is a pattern of the lines of its output to quote."""
    print(f"{name}: {' '.join(command)}", file=sys.stderr)
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60 * MINUTES,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Part(name, " ".join(command), False, f"{type(exc).__name__}: {exc}"[:300])
    text = done.stdout + done.stderr
    quoted = [line.strip("= ") for line in text.splitlines() if re.search(summary, line)]
    if done.returncode and not quoted:
        quoted = text.splitlines()[-15:]
    return Part(name, " ".join(command), done.returncode == 0, "\n".join(quoted[-40:]))


def sanitizer() -> str:
    """The program: in PATH, beside nvcc, or from the nvidia-cuda-sanitizer-api wheel."""
    beside = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / "compute-sanitizer"
    wheels = sorted(Path(sysconfig.get_paths()["purelib"]).glob("nvidia/**/compute-sanitizer"))
    there = [path for path in (beside, *wheels) if path.is_file()]
    return shutil.which("compute-sanitizer") or str([*there, beside][0])


def sanitizing(tool: str) -> list[str]:
    """The command that watches our kernels in the program whose command line follows."""
    return [sanitizer(), "--tool", tool, "--error-exitcode", "9", "--kernel-name", f"kns={KERNELS}"]


def parts(timings: Path) -> list[Part]:
    """All of it, in order."""
    python = sys.executable
    found = [run("tests", [python, "-m", "pytest", "-m", "gpu", "-q"], r"^(FAILED|ERROR)|passed|failed")]
    paths = {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests" / "ops"), str(REPOSITORY)]),
        "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",  # each tensor a piece of its own: an overrun is seen
    }
    for tool in SANITIZERS:
        workload = [python, "tests/support/kernel_workload.py", "1", "cuda"]
        found.append(run(tool, [*sanitizing(tool), *workload], "ERROR SUMMARY|Error|RACECHECK", paths))
    found.append(run("timings", [python, "-m", "benchmarks.gpu", "--json", str(timings)], r"^\|"))
    return found


def page(found: Sequence[Part], facts: dict[str, str]) -> str:
    """Markdown."""
    lines = ["# On a GPU", "", "Written by `make gpu`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""]
    for part in found:
        lines += [f"## {part.name}: {'passed' if part.passed else 'FAILED'}", "", f"`{part.command}`", ""]
        table = part.said.startswith("|")
        lines += [part.said if table else f"```\n{part.said}\n```", ""]
    return "\n".join(lines)


def main() -> int:
    target = Path(sys.argv[sys.argv.index("--page") + 1]) if "--page" in sys.argv else None
    import torch

    if not torch.cuda.is_available():
        print("error: make gpu needs a CUDA device and a Torch built for it", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        timings = Path(folder) / "timings.json"
        found = parts(timings)
        facts = json.loads(timings.read_text())["facts"] if timings.exists() else {}
    driver = run("driver", ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], ".")
    text = page(found, {**facts, "driver": driver.said})
    print(text)
    if target is not None:
        target.write_text(text, encoding="utf-8")
    return 0 if all(part.passed for part in found) else 1


if __name__ == "__main__":
    sys.exit(main())
