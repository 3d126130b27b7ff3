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

GOOD = "a red mushroom"
Command = Callable[..., Outcome]
Fake = Callable[[Callable[[Path], Any]], list[dict[str, Any]]]


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replace the long part by a function of the run folder; returns the calls."""
    calls: list[dict[str, Any]] = []

    def install(act: Callable[[Path], Any]) -> list[dict[str, Any]]:
        def generate(config: Any, out: Path, **options: Any) -> Any:
            calls.append({"config": config, "out": out, **options})
            out.mkdir(parents=True, exist_ok=True)
            (out / "config.yaml").write_text(config.to_yaml())
            options["report"].stage("optimising")
            options["report"].finish()
            act(out)
            files = [out / name for name in ("asset.ply", "turntable.mp4", "contact.png")]
            return pipeline.RunResult(out, *files, 10, 0, 1.5, 1234)

        monkeypatch.setattr(pipeline, "generate", generate)
        return calls

    return install


def fail(exc: BaseException, checkpoint: bool = False) -> Callable[[Path], None]:
    def act(out: Path) -> None:
        if checkpoint:
            (out / "checkpoints").mkdir()
            (out / "checkpoints" / "000010.safetensors").write_text("x")
        raise exc

    return act


def test_only_the_result_goes_to_stdout(sctd: Command, fake_run: Fake) -> None:
    calls = fake_run(lambda out: None)
    done = sctd("generate", GOOD, "--seed", "3")
    assert done.code == 0
    assert done.out == "runs/a-red-mushroom-seed3/asset.ply\n"
    for expected in ("optimising", "turntable.mp4", "contact.png", "1234 Gaussians"):
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
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/x"), 2, "no space left"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), 2, "quota"),
        (PermissionError(errno.EACCES, "denied", "run/x"), 2, "permission denied"),
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
@pytest.mark.parametrize("checkpoint", [False, True])
def test_failure_is_one_line_and_leaves_nothing_useless(
    sctd: Command, here: Path, fake_run: Fake, exc: BaseException, code: int, says: str, checkpoint: bool
) -> None:
    fake_run(fail(exc, checkpoint))
    done = sctd("generate", GOOD, "--out", "deep/er/run")
    assert done.code == code
    assert done.out == ""
    stage, error = done.err.splitlines()
    assert stage == "optimising"
    assert error.startswith("error: ")
    assert says in error
    # A run that has a checkpoint can go on; anything less is litter.
    assert (here / "deep/er/run/checkpoints").exists() == checkpoint
    assert bool(tree(here)) == checkpoint


def test_interrupt_with_a_checkpoint_is_told_by_the_run_alone(sctd: Command, fake_run: Fake) -> None:
    fake_run(fail(KeyboardInterrupt("stopped after iteration 10; go on with --resume"), checkpoint=True))
    done = sctd("generate", GOOD)
    assert (done.code, done.err) == (1, "optimising\n")


def test_what_was_there_before_stays(sctd: Command, here: Path, fake_run: Fake) -> None:
    fake_run(lambda out: None)
    sctd("generate", GOOD, "--out", "deep/run")
    (here / "deep" / "notes.txt").write_text("mine")
    fake_run(fail(RuntimeError("bug")))
    assert sctd("generate", GOOD, "--out", "deep/run", "--overwrite").code == 1
    assert sctd("generate", GOOD, "--out", "deep/other").code == 1
    assert tree(here) == ["deep", "deep/notes.txt", "deep/run", "deep/run/config.yaml"]


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
