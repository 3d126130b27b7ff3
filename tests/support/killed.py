"""Kills a run of small.py, as a power cut does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def kill_after(
    out: Path, iteration: int, overrides: tuple[str, ...], *, iterations: int, resume: bool
) -> None:
    """Start the run in a process of its own and SIGKILL it once it reports an iteration, or later."""
    script = Path(__file__).with_name("small.py")
    command = [sys.executable, str(script), str(out), str(iterations), *overrides]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    with subprocess.Popen(
        [*command, "--resume"] if resume else command, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= iteration:
                break
        else:
            raise AssertionError(
                f"the child ended by itself with {child.wait()} before iteration {iteration}"
            )
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
