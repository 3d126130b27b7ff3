"""What a program loads, seen in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def loaded_by(code: str, *modules: str, cwd: Path | None = None) -> set[str]:
    """Which of the modules are there after the code, which must end well and say nothing."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split()) & set(modules)
