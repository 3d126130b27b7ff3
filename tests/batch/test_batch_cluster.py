"""A batch on a Ray cluster of this machine: a worker is killed, one is told to go; what is refused."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from sctd.batch.manifest import Asset, Manifest

PROMPTS = ["a red ball", "a blue box", "a green ball", "a yellow box"]
KINDS = ["ball", "cube", "cone", "mug", "vase", "chair", "cat", "car", "duck", "tree", "lamp", "sofa"]
TWELVE = [f"a red {kind}" for kind in KINDS]
"""All of the embedded prior's world."""
OPTIONS = [
    *("--prior", "analytic", "--device", "cpu", "--steps", "60", "--assets-in-flight", "1"),
    *("--set=cameras.size=32", "--set=cameras.batch=2", "--set=gaussians.count=60", "--set=output.size=32"),
    *("--set=output.turntable_frames=0", "--set=output.contact_views=2", "--set=output.checkpoint_every=5"),
]
FEW = [*OPTIONS, "--prior", "embedded", "--steps", "8", "--set=output.checkpoint_every=2"]
# local: a cluster that something else runs on this machine may end at any moment
TWO = ["--cluster", "local", "--workers", "2", "--cpus-per-worker", "1"]
MANY_SECONDS = 600
"""A test that waits longer has failed; no time is asserted otherwise."""


def sctd(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    # one thread everywhere, as a worker of one core has
    alone = {"OMP_NUM_THREADS": "1", "SCTD_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    call = "import sys; from sctd_cli.main import run; sys.exit(run(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", call, *arguments],
        cwd=folder,
        env={**os.environ, **alone},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=MANY_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def assets(folder: Path) -> list[Asset]:
    with closing(Manifest(folder)) as manifest:
        return manifest.assets()


def sums(folder: Path) -> dict[str, str]:
    found = {path.parent.name: path.read_bytes() for path in folder.glob("*/asset.ply")}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def wait_for_iterations(
    process: subprocess.Popen[str], folder: Path, count: int, logs_of: str = "*/log.jsonl"
) -> None:
    """Until an asset in flight has so many iterations in its log, past its first checkpoints."""
    deadline = time.monotonic() + MANY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        logs = [path for path in folder.glob(logs_of) if not (path.parent / "asset.ply").exists()]
        if any(len(path.read_bytes().splitlines()) >= count for path in logs):
            return
        time.sleep(0.05)
    raise AssertionError(f"no run got that far: {ended(process)}")


def actors(process: subprocess.Popen[str], title: str) -> list[psutil.Process]:
    """The processes of a command's cluster that Ray has given this title."""
    every = psutil.Process(process.pid).children(recursive=True)
    return [child for child in every if title in " ".join(child.cmdline())]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    return tmp_path


def test_twelve_prompts_and_a_worker_killed_in_the_middle(place: Path) -> None:
    """Of the embedded prior, without a file system that the workers share."""
    (place / "twelve.txt").write_text("\n".join(TWELVE) + "\n")
    code, _, err = ended(sctd("batch", "twelve.txt", "--out", "here", *FEW, folder=place))
    assert code == 0, err

    url = f"file://{place}/there/night"
    command = sctd("batch", "twelve.txt", "--out", url, "--scratch", "scratch", *FEW, *TWO, folder=place)
    for number in (1, 2):  # from here on both have an asset, until few are left
        wait_for_iterations(command, place, 3, f"scratch/*/worker-{number}/*/log.jsonl")
    both = actors(command, "ray::Worker.run")
    assert len(both) == 2
    both[0].kill()
    code, _, err = ended(command)
    assert code == 0, err
    assert "2 workers with 1 CPU cores and 0 GPUs each" in err
    assert "died; its assets go on elsewhere" in err
    assert len(sums(place / "here")) == 12
    assert sums(place / "there" / "night") == sums(place / "here")
    found = assets(place / "there" / "night")
    assert [asset.name for asset in found if asset.state != "done"] == []
    assert sorted(asset.attempts for asset in found) == [1] * 11 + [2]
    assert list((place / "scratch").iterdir()) == []


def test_a_worker_that_is_told_to_go_saves_and_so_does_the_command(place: Path) -> None:
    """A spot instance gets SIGTERM before it is taken away, a command when its time in a queue is over."""
    command = sctd("batch", "prompts.txt", "--out", "night", *OPTIONS, *TWO, folder=place)
    wait_for_iterations(command, place / "night", 3)
    actors(command, "ray::Worker.run")[0].send_signal(signal.SIGTERM)
    wait_for_iterations(command, place / "night", 30)
    command.send_signal(signal.SIGTERM)
    code, _, err = ended(command)
    assert code == 1, err
    assert "died" not in err  # it went by itself
    assert err.splitlines()[-1].endswith("continue with sctd batch --resume night")
    assert {asset.state for asset in assets(place / "night")} <= {"queued", "done"}
    assert list((place / "night").glob("*/checkpoints/*"))

    code, _, err = ended(sctd("batch", "--resume", "night", "--assets-in-flight", "2", folder=place))
    assert code == 0, err
    assert len(sums(place / "night")) == len(PROMPTS)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--workers", "2"], "--workers and --cpus-per-worker go with --cluster"),
        ([*TWO[:2], "--workers", "999"], "give fewer --workers"),
    ],
)
def test_what_cannot_be_had(place: Path, options: list[str], cause: str) -> None:
    code, _, err = ended(sctd("batch", "prompts.txt", "--out", "no", *OPTIONS, *options, folder=place))
    assert code == 2
    assert cause in err.splitlines()[-1]


def test_a_cluster_that_breaks_is_one_line(place: Path) -> None:
    """The coordinator is killed, as with its machine; what was saved before goes on without it."""
    command = sctd("batch", "prompts.txt", "--out", "gone", *OPTIONS, *TWO, folder=place)
    wait_for_iterations(command, place / "gone", 8)
    (coordinator,) = actors(command, "ray::Coordinator")
    coordinator.kill()
    code, _, err = ended(command)
    assert code == 1, err
    assert "Traceback" not in err
    assert "the Ray cluster is gone or broken" in err.splitlines()[-1]
    code, _, err = ended(sctd("batch", "--resume", "gone", folder=place))
    assert code == 0, err
    assert len(sums(place / "gone")) == len(PROMPTS)
