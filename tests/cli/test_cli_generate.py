"""What `sctd generate` prints, keeps and cleans up, whatever happens in the long part."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_outcome import CALL, Outcome, tree

from sctd import pipeline
from sctd.errors import InputError, TrainingFailure
from sctd.run.folder import RunFolder

GOOD = "a red mushroom"
Command = Callable[..., Outcome]
Fake = Callable[[Callable[[RunFolder], Any]], list[dict[str, Any]]]


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replace the networks and the loop by a function of the run folder; returns the calls."""
    calls: list[dict[str, Any]] = []

    def install(act: Callable[[RunFolder], Any]) -> list[dict[str, Any]]:
        def generate(config: Any, out: Path, **options: Any) -> Any:
            calls.append({"config": config, "out": out, **options})
            return real(config, out, **options)

        def loop(trainer: Any, folder: RunFolder, report: pipeline.Reporter, *others: Any) -> float:
            report.stage("optimising")
            act(folder)
            return 1.5

        def finish(trainer: Any, folder: RunFolder, *others: Any) -> pipeline.RunResult:
            files = [
                folder.path / name for name in ("asset.ply", "turntable.mp4", "contact.png", "asset.html")
            ]
            return pipeline.RunResult(folder.path, *files, 10, 0, 1.5, 1234)

        monkeypatch.setattr(pipeline, "generate", generate)
        for name, fake in (("_loop", loop), ("_finish", finish)):
            monkeypatch.setattr(pipeline, name, fake)
        for name in ("_start", "method_of", "Trainer", "_latest"):
            monkeypatch.setattr(pipeline, name, lambda *args, **options: None)
        monkeypatch.setattr(pipeline, "prior_of", lambda *args, **options: object())
        return calls

    real = pipeline.generate
    return install


def fail(exc: BaseException, worked: bool = False) -> Callable[[RunFolder], None]:
    def act(folder: RunFolder) -> None:
        folder.worked = worked
        raise exc

    return act


def test_only_the_result_goes_to_stdout(sctd: Command, fake_run: Fake) -> None:
    calls = fake_run(lambda out: None)
    done = sctd("generate", GOOD, "--seed", "3")
    assert done.code == 0
    assert done.out == "runs/a-red-mushroom-seed3/asset.ply\n"
    for expected in ("optimising", "turntable.mp4", "contact.png", "asset.html", "1234 Gaussians"):
        assert expected in done.err
    assert calls[0]["config"].seed == 3
    assert (calls[0]["resume"], calls[0]["overwrite"]) == (False, False)


def test_options_reach_the_settings(sctd: Command, fake_run: Fake) -> None:
    calls = fake_run(lambda out: None)
    sctd("generate", GOOD, "--out", "here", "--steps", "9", "--device", "cpu", "--set", "optim.beta1=0.5")
    config = calls[0]["config"]
    assert (config.iterations, config.device, config.optim.beta1) == (9, "cpu", 0.5)
    assert calls[0]["out"] == Path("here")


def test_resume_needs_no_prompt(sctd: Command, fake_run: Fake) -> None:
    calls = fake_run(lambda out: None)
    sctd("generate", GOOD, "--out", "run", "--seed", "5", "--set", "cameras.batch=2")
    done = sctd("generate", "--resume", "--out", "run")
    assert done.code == 0, done.err
    assert calls[1]["resume"] is True
    assert calls[1]["config"] == calls[0]["config"]


@pytest.mark.parametrize(
    ("exc", "code", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/x"), 2, "No space left"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 2, "quota"),
        (PermissionError(errno.EACCES, "denied", "run/x"), 2, "denied"),
        (OSError(errno.EROFS, "read-only"), 2, "read-only"),
        (InputError("the prior is\ndamaged"), 2, "the prior is damaged"),
        (TrainingFailure("ten bad iterations"), 1, "ten bad iterations"),
        (MemoryError(), 1, "out of memory"),
        (
            RuntimeError("a bug\nin two lines"),
            1,
            "unexpected RuntimeError: a bug in two lines; `sctd --debug",
        ),
        (KeyboardInterrupt(), 1, "interrupted"),
    ],
)
@pytest.mark.parametrize("worked", [False, True])
def test_failure_is_one_line_and_leaves_nothing_useless(
    sctd: Command, here: Path, fake_run: Fake, exc: BaseException, code: int, says: str, worked: bool
) -> None:
    fake_run(fail(exc, worked))
    done = sctd("generate", GOOD, "--out", "deep/er/run")
    assert done.code == code
    assert done.out == ""
    *_, stage, error = done.err.splitlines()
    assert stage == "optimising"
    assert error.startswith("error: ")
    assert says in error
    # A run that has done an iteration can go on, or tells why not; anything less is litter.
    assert (here / "deep/er/run/config.yaml").exists() == worked
    assert bool(tree(here)) == worked


def test_interrupt_with_a_checkpoint_is_told_by_the_run_alone(sctd: Command, fake_run: Fake) -> None:
    fake_run(fail(KeyboardInterrupt("stopped after iteration 10; continue with --resume"), worked=True))
    done = sctd("generate", GOOD)
    assert (done.code, done.err) == (1, "loading the prior\noptimising\n")


def test_what_was_there_before_stays(sctd: Command, here: Path, fake_run: Fake) -> None:
    fake_run(lambda folder: None)
    sctd("generate", GOOD, "--out", "deep/run")
    (here / "deep" / "notes.txt").write_text("mine")
    (here / "deep" / "run" / "notes.txt").write_text("mine too")
    (here / "deep" / "run" / "asset.ply").write_text("the run's")
    fake_run(fail(RuntimeError("bug"), worked=True))
    assert sctd("generate", GOOD, "--out", "deep/run", "--overwrite").code == 1
    fake_run(fail(RuntimeError("bug")))
    assert sctd("generate", GOOD, "--out", "deep/other").code == 1
    run = ["deep/run", "deep/run/checkpoints", "deep/run/config.yaml", "deep/run/notes.txt"]
    assert tree(here) == ["deep", "deep/notes.txt", *run]


def test_a_foreign_config_yaml_makes_no_run(sctd: Command, here: Path, fake_run: Fake) -> None:
    calls = fake_run(lambda folder: None)
    (here / "project").mkdir()
    (here / "project" / "config.yaml").write_text("database: mine\n")
    line = sctd("generate", GOOD, "--out", "project", "--overwrite").error_line()
    assert "it is not the folder of a run" in line
    assert calls == []
    assert (here / "project" / "config.yaml").read_text() == "database: mine\n"


def test_debug_shows_the_traceback(sctd: Command, fake_run: Fake) -> None:
    fake_run(fail(RuntimeError("a bug")))
    done = sctd("--debug", "generate", GOOD)
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert done.err.splitlines()[-1].startswith("error: unexpected RuntimeError")


def test_a_reader_that_leaves_hears_no_complaint(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", CALL, "generate", GOOD, "--dry-run"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red mushroom", "a-red-mushroom"),
        ("Ein grüner Käfer!", "ein-gruner-kafer"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 300, "x" * 48),
        ("蘑菇", "prompt-"),
        ("-rf --no", "rf-no"),
    ],
)
def test_slug_is_a_plain_name(prompt: str, name: str) -> None:
    from sctd_cli.inputs import default_folder, slug

    assert slug(prompt).startswith(name)
    assert set(slug(prompt)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert default_folder(prompt, 0).parent == Path("runs")
