"""Nobody's work is deleted by a process that did not make it, and a stream that fails ends no run."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_outcome import CALL, Outcome, tree

from sctd.errors import InputError
from sctd.machine import environment
from sctd.ops import _backend

Command = Callable[..., Outcome]

RUN = [
    *("generate", "a red ball", "--prior", "analytic", "--device", "cpu", "--set=cameras.size=16"),
    *("--set=cameras.batch=1", "--set=gaussians.count=20", "--set=output.size=32"),
    *("--set=output.turntable_frames=0", "--set=output.contact_views=1"),
]
FOREVER = ["--steps", "100000", "--set=output.checkpoint_every=100000", "--out", "run"]
SHORT = ["--steps", "2", "--out", "run"]
FILES = ["asset.html", "asset.ply", "checkpoints", "config.yaml", "contact.png", "log.jsonl"]

# The command line, in which a checkpoint waits for a line on stdin.
SLOW_TO_SAVE = f"""
import sys
from sctd.run import checkpoint
save = checkpoint.save
def slow(*arguments):
    print("saving", flush=True)
    sys.stdin.readline()
    return save(*arguments)
checkpoint.save = slow
{CALL}
"""
# The command line, in which the prior takes a minute to load.
SLOW_TO_LOAD = f"""
import time
from sctd import pipeline
pipeline.prior_of = lambda config: time.sleep(60)
{CALL}
"""


@contextmanager
def start(*arguments: str, code: str = CALL, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """A command line as a process that goes on meanwhile, at most as long as the block."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    with subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def iterates(here: Path) -> Callable[[], bool]:
    log = here / "run" / "log.jsonl"
    return lambda: log.exists() and log.stat().st_size > 0


def test_a_live_run_is_nobody_elses_and_further_interrupts_wait(sctd: Command, here: Path) -> None:
    with start(*RUN, *FOREVER, code=SLOW_TO_SAVE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        wait_for(iterates(here), process)
        for further in ((), ("--overwrite",), ("--resume",)):
            done = sctd(*RUN, *FOREVER, *further)
            assert (done.code, done.out) == (1, "")
            assert done.err.startswith("error: another sctd is running in run (process ")
            assert f"process {process.pid} on " in done.err
            assert ", since 2" in done.err
        done = sctd("prior", "train", "--out", "run", "--overwrite")
        assert f"process {process.pid} on " in done.err
        assert process.poll() is None

        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "saving\n"
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        process.stdin.write("\n")
        process.stdin.flush()
        out, err = process.communicate(timeout=180)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in err
    assert err.count("a checkpoint saved first") == 1
    assert err.splitlines()[-1].endswith("continue with --resume --out run")
    assert len(list((here / "run" / "checkpoints").iterdir())) == 1
    assert sorted(path.name for path in (here / "run").iterdir()) == [*FILES[2:4], *FILES[5:]]


def test_a_terminal_that_is_closed(here: Path) -> None:
    """The run gets a hang-up, and every write an error."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    with start(*RUN, *FOREVER, preexec_fn=own_terminal, **streams) as process:
        os.close(theirs)
        log = iterates(here)
        while not log():
            assert process.poll() is None
            os.read(ours, 4096)
        os.close(ours)
        assert process.wait(timeout=180) == 1
    assert len(list((here / "run" / "checkpoints").iterdir())) == 1


def test_an_interrupt_before_the_first_iteration_leaves_what_others_made(here: Path) -> None:
    (here / "deep").mkdir()
    with start(*RUN, "--out", "deep/er/run", code=SLOW_TO_LOAD) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "loading the prior\n"
        (here / "deep" / "er" / "notes.txt").write_text("mine")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=180)
    assert (process.returncode, out, err) == (1, "", "error: interrupted\n")
    assert tree(here) == ["deep", "deep/er", "deep/er/notes.txt"]


@contextmanager
def no_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_nobody_reads_the_progress(here: Path) -> None:
    with no_reader() as broken, start(*RUN, *SHORT, stderr=broken) as process:
        out, _ = process.communicate(timeout=180)
    assert (process.returncode, out) == (0, "run/asset.ply\n")
    assert sorted(path.name for path in (here / "run").iterdir()) == FILES


def test_closed_streams_write_into_no_file(here: Path) -> None:
    """The first files that a process opens would have the numbers of its closed streams."""

    def closed() -> None:
        for number in range(3):
            os.close(number)

    with start(*RUN, *SHORT, preexec_fn=closed) as process:
        assert process.wait(timeout=180) == 1  # nobody heard the result
    assert sorted(path.name for path in (here / "run").iterdir()) == FILES
    rows = [json.loads(line) for line in (here / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 1]


def test_a_result_that_cannot_be_told(sctd: Command, here: Path) -> None:
    """Full is an error, a reader that has left is none; the work is there either way."""
    (here / "p.txt").write_text("a red ball\na blue box\n")
    small = [argument for argument in RUN[2:] if argument != "a red ball"]
    with no_reader() as broken:
        arguments = ("batch", "p.txt", "--out", "night", *small, "--steps", "2", "--assets-in-flight", "1")
        with start(*arguments, stdout=broken) as process:
            _, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "error" not in err
    assert len(list((here / "night").glob("*/asset.ply"))) == 2

    run = "night/a-red-ball-seed0"
    Path(run, "contact.png").unlink()
    config = Path(run, "config.yaml")  # only the embedded prior's runs are scored without a judge
    config.write_text(config.read_text().replace("name: analytic", "name: embedded"))
    for arguments, made in (
        (("gallery", "night"), "night/index.html"),
        (("evaluate", run, "--json", "deep/scores.json"), "deep/scores.json"),
        (("render", f"{run}/asset.ply", "--no-turntable", "--size", "16"), f"{run}/contact.png"),
    ):
        with Path("/dev/full").open("w") as full, start(*arguments, stdout=full) as process:
            _, err = process.communicate(timeout=180)
        assert process.returncode == 1, err
        reason = "the result cannot be written to standard output (No space left on device)"
        assert err.splitlines()[-1] == f"error: {reason}; what was made is kept"
        assert (here / made).stat().st_size > 100


def _fails_after(folder: Path) -> Callable[..., Any]:
    """A long part in which somebody else puts a file into the folder that the command has made."""

    def act(*arguments: Any, **options: Any) -> Any:
        folder.mkdir(exist_ok=True)
        (folder / "thesis.txt").write_text("mine")
        raise RuntimeError("planted")

    return act


@pytest.mark.parametrize(
    ("arguments", "long_part"),
    [
        (("generate", "a red ball", "--out", "deep/new"), "sctd.pipeline.prior_of"),
        (("compare", "a red ball", "--methods", "sds", "--out", "deep/new"), "sctd_cli.compare._carry_out"),
        (("evaluate", "run", "--json", "deep/new/scores.json"), "sctd.files.os.fsync"),
        (("prior", "sample", "a red ball", "--out", "deep/new/x.png"), "sctd.embedded.sample.sample_grid"),
        (("prior", "train", "--out", "deep/new"), "sctd.embedded.train.main"),
        (("render", "in.ply", "--out", "deep/new"), "sctd.render.render_images"),
        (("batch", "p.txt", "--out", "deep/new"), "sctd.batch.manifest.sqlite3.connect"),
        (("analyze", "run", "--csv", "deep/new/c.csv"), "sctd.analysis.curves.write_curves"),
    ],
)
def test_a_failure_leaves_what_others_put_there(
    sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], long_part: str
) -> None:
    import torch

    from sctd.config import load_config
    from sctd.formats.write_ply import write_ply
    from sctd.gaussians import round_gaussians

    config = load_config(prompt="a red ball", iterations=1)
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text(config.to_yaml())
    (here / "run" / "log.jsonl").write_text('{"iteration": 0, "seconds": 1.0, "gaussians": 3}\n')
    (here / "p.txt").write_text("a red ball\n")
    for place in ("in.ply", "run/asset.ply"):
        write_ply(here / place, round_gaussians(torch.zeros(2, 3), torch.ones(2, 3), config.gaussians))
    before = tree(here)
    with monkeypatch.context() as patch:
        patch.setattr(long_part, _fails_after(here / "deep" / "new"))
        done = sctd(*arguments)
    assert done.code == 1, done.err
    assert "planted" in done.err
    assert tree(here) == sorted([*before, "deep", "deep/new", "deep/new/thesis.txt"])
    (here / "deep" / "new" / "thesis.txt").unlink()
    (here / "deep" / "new").rmdir()
    (here / "deep").rmdir()


def test_a_training_is_overwritten_and_nothing_else(sctd: Command, here: Path) -> None:
    from sctd.embedded import train

    (here / "home").mkdir()
    (here / "home" / "weights").write_text("mine")
    line = sctd("prior", "train", "--out", "home", "--overwrite").error_line()
    assert "it is not the folder of a training" in line
    assert (here / "home" / "weights").read_text() == "mine"

    for name in (
        "tokenizer/vocab.json",
        "training.json",
        "data/views-00000.npy",
        "vae.safetensors",
        "thesis.txt",
        "figures/1.png",
    ):
        path = here / "old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    train._remove_training(here / "old")
    assert tree(here / "old") == ["figures", "figures/1.png", "thesis.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCTD_NUM_THREADS", "abc"),
        ("SCTD_NUM_THREADS", "0"),
        ("SCTD_NUM_THREADS", "1.5"),
        ("SCTD_CPU_ISA", "avx9"),
    ],
)
def test_variables_that_say_nothing_are_refused(
    sctd: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    line = sctd("suite", "embedded").error_line()
    assert line.startswith(f"error: {name} must be ")
    assert repr(value) in line
    assert sctd("--version").code == 0
    found = json.loads(sctd("doctor", "--json").out)["checks"]
    assert any(check["status"] == "bad" and name in check["detail"] for check in found)


def test_a_processor_that_lacks_the_instructions_asked_for(
    sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a lesser processor has it, whose best is AVX2; the native code itself takes what it can."""
    monkeypatch.setenv("SCTD_CPU_ISA", "avx512")
    monkeypatch.setitem(sys.modules, "sctd._native", SimpleNamespace(isa=lambda: "avx2"))
    told = "SCTD_CPU_ISA asks for avx512, and the best that this processor can run is avx2; unset it"
    assert sctd(*RUN, *SHORT).error_line().startswith(f"error: {told}")
    assert not (here / "run").exists()
    _backend.native.cache_clear()
    with pytest.raises(InputError, match=told):
        _backend.native()


def test_a_variable_that_nothing_reads_is_told_once(sctd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_told", set())
    monkeypatch.setenv("SCTD_NUM_THREAD", "1")
    monkeypatch.setenv("sctd_cpu_isa", "avx2")
    first, again = sctd("suite", "embedded"), sctd("suite", "embedded")
    assert first.err.splitlines() == [
        "warning: SCTD_NUM_THREAD is set, and nothing reads it; did you mean SCTD_NUM_THREADS?",
        "warning: sctd_cpu_isa is set, and nothing reads it; did you mean SCTD_CPU_ISA?",
    ]
    assert (first.code, again.err) == (0, "")
    checks = json.loads(sctd("doctor", "--json").out)["checks"]
    assert [check["detail"] for check in checks if check["name"] == "variables"] == [
        "SCTD_NUM_THREAD is set, and nothing reads it; did you mean SCTD_NUM_THREADS?",
        "sctd_cpu_isa is set, and nothing reads it; did you mean SCTD_CPU_ISA?",
    ]


def test_a_working_directory_that_is_gone(sctd_process: Command, here: Path) -> None:
    def gone() -> None:
        (here / "gone").mkdir()
        os.chdir(here / "gone")
        (here / "gone").rmdir()

    line = sctd_process("generate", "a red ball", before=gone).error_line()
    assert line.startswith("error: the current folder cannot be entered (No such file or directory)")
