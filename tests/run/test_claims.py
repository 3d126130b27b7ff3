"""A folder is one process's at a time: who gets it, what the others hear, and what is left of it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sctd.run import claims
from sctd.run.claims import LOCK, Claim, Held, clear, is_held, made_folder

# Waits for a line, claims a folder, says how that went, and holds it until the next line.
CLAIMANT = """
import sys
from pathlib import Path
from sctd.run.claims import Claim, Held
print("ready", flush=True)
sys.stdin.readline()
try:
    with Claim(Path(sys.argv[1])):
        print("won", flush=True)
        sys.stdin.readline()
except Held as exc:
    print(exc, flush=True)
"""


def claimants(folder: Path, count: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CLAIMANT, str(folder)]
    found = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in found:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return found


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_many_that_start_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er" / "run"
    processes = claimants(folder, 4)
    for process in processes:
        go_on(process)
    said = []
    for process in processes:
        assert process.stdout is not None
        said.append(process.stdout.readline().rstrip())
    assert said.count("won") == 1
    winner = processes[said.index("won")]
    start = f"another sctd is running in {folder} (process {winner.pid} on {os.uname().nodename}, since "
    assert all(text.startswith(start) for text in said if text != "won")
    assert is_held(folder)
    for process in processes:
        process.communicate("\n")
    assert list(folder.iterdir()) == []
    assert not is_held(folder)


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    (process,) = claimants(tmp_path, 1)
    go_on(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "won\n"
    with pytest.raises(Held, match=f"process {process.pid} on "):
        Claim(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / LOCK).exists()  # and holds nobody up
    with Claim(tmp_path):
        assert is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_within_a_process_too(tmp_path: Path) -> None:
    with Claim(tmp_path) as claim, pytest.raises(Held, match=f"process {os.getpid()} on "):
        Claim(tmp_path)
    claim.release()  # again, which does nothing
    with Claim(tmp_path):
        pass


def fail_in(block: AbstractContextManager[object], first: Callable[[], object] = lambda: None) -> None:
    def planted() -> None:
        with block:
            first()
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        planted()


def test_a_failure_removes_empty_folders_of_its_own_alone(tmp_path: Path) -> None:
    fail_in(Claim(tmp_path / "a" / "b"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    fail_in(Claim(tmp_path / "a"))
    assert (tmp_path / "a").is_dir()
    mine = tmp_path / "a" / "b" / "mine"
    fail_in(made_folder(tmp_path / "a" / "b" / "c"), lambda: mine.write_text("x"))
    assert list((tmp_path / "a" / "b").iterdir()) == [mine]


def test_a_folder_that_a_loser_finds_removed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look and its claim the winner has failed, and cleaned up."""
    real, folder = os.open, tmp_path / "run"
    removed = iter([True])

    def late(path: object, *arguments: int) -> int:
        if next(removed, False):
            folder.rmdir()
        return real(path, *arguments)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(os, "open", late)
    with Claim(folder) as claim:
        assert claim.is_new
        assert is_held(folder)


def test_a_file_system_without_locks_is_said_and_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(claims.fcntl, "flock", none)
    said: list[str] = []
    with Claim(tmp_path, said.append):
        pass
    assert said == [
        f"{tmp_path} cannot be locked (No locks available); see to it that no other sctd works there"
    ]


def test_clearing_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with Claim(tmp_path / "scratch") as claim:
        (claim.path / "run" / "checkpoints").mkdir(parents=True)
        (claim.path / "link").symlink_to(tmp_path / "mine")
        clear(claim.path)
        assert [path.name for path in claim.path.iterdir()] == [LOCK]
    assert (tmp_path / "mine" / "thesis.txt").exists()
