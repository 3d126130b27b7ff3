"""Everything to run on a machine that has a GPU, and the page to commit of it.

    make gpu-quick, then make gpu    or: python tests/gpu/report.py [--quick] [--page docs/gpu_report.md]

Quick, about 5 minutes: every CUDA kernel against its definition, one whole generation with the embedded
prior, timings beside gsplat, of a training step too. The rest: every test marked gpu, compute-sanitizer over
every kernel (memory, races, barriers, uninitialised memory), timings of all sizes.
The most valuable parts come first. Each part's result is kept in build/gpu_report.json as it comes, and the
page written; a part that has passed is not run again for the same files and device: what was cut off goes on.
--emulated runs what emulation can, under SCTD_SIMT_MODULE, and says so: a rehearsal of this file.
The page holds what came out, passed or not; the exit code is 1 unless all that was asked for passed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = REPOSITORY / "build" / "gpu_report.json"
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
KERNELS = "sctd"
"""What the mangled names of our kernels have in common, and those of torch and CUB have not."""
MINUTES = 20
"""After so long a part has failed."""


@dataclass(frozen=True)
class Job:
    """A part to run. ``summary`` is a pattern of the lines of its output to quote."""

    name: str
    command: Sequence[str]
    summary: str
    quick: bool = False
    environment: dict[str, str] = field(default_factory=dict)


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


def jobs(backend: str = "cuda") -> list[Job]:
    """All of it, the most valuable first; with the backend "cuda-simt" what emulation can do."""
    python, gpu = sys.executable, ("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider")
    outcome = r"^(FAILED|ERROR)|passed|failed"
    paths = {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests" / "support"), str(REPOSITORY)]),
        "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",  # each tensor a piece of its own: an overrun is seen
    }
    workload = [python, "tests/support/kernel_workload.py", "1", backend]
    kernels = Job("every kernel, once", workload, r"^[0-9a-f]{64}$|Error", quick=True, environment=paths)
    if backend != "cuda":
        return [kernels]
    made = "--prior embedded --device cuda --steps 200 --out build/gpu_asset -- 'a red mushroom'"
    sctd = shutil.which("sctd") or str(Path(python).with_name("sctd"))
    step = [sctd, "bench", "step", "--steps", "40", "--set", "device=cuda"]
    return [
        kernels,
        Job("kernels against their definitions", [python, *gpu, "tests/ops"], outcome, quick=True),
        Job(
            "a generation",
            ["sh", "-c", f"rm -rf build/gpu_asset && exec {sctd} generate {made}"],
            r"asset|step|iterations|error",
            quick=True,
        ),
        Job(
            "timings", [python, "-m", "benchmarks.gpu", "--cells", "3", "--repeats", "40"], r"^\|", quick=True
        ),
        Job("timings of ops", [python, "-m", "benchmarks.gpu_ops"], r"^\|", quick=True),
        Job("timings of triangles", [python, "-m", "benchmarks.gpu_triangles"], r"^\|", quick=True),
        Job("a training step", step, r"\|", quick=True),
        Job("all tests", [python, *gpu], outcome),
        *(
            Job(tool, [*sanitizing(tool), *workload], "ERROR SUMMARY|Error|RACECHECK", environment=paths)
            for tool in SANITIZERS
        ),
        Job("timings of all sizes", [python, "-m", "benchmarks.gpu"], r"^\|"),
    ]


def fingerprint() -> str:
    """Of everything that could change a result: the files that git knows, as they lie here."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True)
    digest = hashlib.sha256()
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = REPOSITORY / name
        if path.is_file() and path.suffix not in (".md", ".png"):
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def run_all(
    wanted: Iterable[Job],
    kept: Path,
    of: str,
    write: Callable[[list[Part]], None],
    runner: Callable[..., Part] = run,
) -> list[Part]:
    """Run the jobs in order; ``write`` gets all results after each.

    Args:
        kept: file of the results so far; those of a job that passed stand in for it.
        of: what the results belong to; where the file's belong to something else, it starts anew.
    """
    stored = json.loads(kept.read_text()) if kept.exists() else {}
    results = (
        {part["name"]: Part(**part) for part in stored.get("parts", ())} if stored.get("of") == of else {}
    )
    asked = list(wanted)
    for job in asked:
        before = results.get(job.name)
        if before is not None and before.passed and before.command == " ".join(job.command):
            continue
        results[job.name] = runner(job.name, job.command, job.summary, job.environment)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        part.write_text(json.dumps({"of": of, "parts": [asdict(r) for r in results.values()]}, indent=1))
        part.replace(kept)
        write(list(results.values()))
    write(list(results.values()))
    return [results[job.name] for job in asked]


def page(found: Sequence[Part], facts: dict[str, str]) -> str:
    """Markdown."""
    lines = ["# On a GPU", "", "Written by `make gpu`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""]
    for part in found:
        lines += [f"## {part.name}: {'passed' if part.passed else 'FAILED'}", "", f"`{part.command}`", ""]
        table = part.said.startswith("|")
        lines += [part.said if table else f"```\n{part.said}\n```", ""]
    return "\n".join(lines)


def device_facts() -> dict[str, str]:
    """The device and its driver."""
    from benchmarks.gpu import facts

    driver = run("driver", ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], ".")
    return {**facts(), "driver": driver.said}


def main(arguments: Sequence[str]) -> int:
    target = Path(arguments[arguments.index("--page") + 1]) if "--page" in arguments else None
    emulated, quick = "--emulated" in arguments, "--quick" in arguments
    import torch

    if not (emulated or torch.cuda.is_available()):
        print("error: make gpu needs a CUDA device and a Torch built for it", file=sys.stderr)
        return 2
    facts = {"device": "none: EMULATED on a CPU, nothing here is of a GPU"} if emulated else device_facts()
    kept = KEPT.with_name("gpu_report_emulated.json") if emulated else KEPT

    def write(parts: list[Part]) -> None:
        if target is not None:
            target.write_text(page(parts, facts), encoding="utf-8")

    wanted = [job for job in jobs("cuda-simt" if emulated else "cuda") if job.quick or not quick]
    found = run_all(wanted, kept, fingerprint() + facts["device"], write)
    print(page(found, facts))
    return 0 if all(part.passed for part in found) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    sys.exit(main(sys.argv[1:]))
