"""Whatever cannot be used gives one line and exit code 2, before torch is loaded, and leaves no trace."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_outcome import Outcome, tree

GOOD = "a red mushroom"
Command = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "empty"),
        (" \t ", "empty"),
        ("a" * 10_000, "10000 characters"),
        ("a red\x07 mushroom", r"'\x07' at position 5"),
        ("a red\nmushroom", r"'\n' at position 5"),
        ("a red \x1b[31mmushroom", r"'\x1b'"),
        ("a red \u202emushroom", r"'\u202e'"),
        ("a red \udc80mushroom", r"'\udc80'"),
        ("../../etc/passwd", "looks like a path"),
        ("/etc/passwd", "looks like a path"),
        ("~/.ssh", "looks like a path"),
        ("runs/mushroom", "looks like a path"),
        ("..", "looks like a path"),
        ("a mushroom in ../there", "looks like a path"),
        ("C:\\mushroom", "looks like a path"),
        ("mushroom.ply", "looks like a path"),
        ("file:mushroom", "looks like a path"),
        ("a bagel with lox", "'bagel', 'lox'"),
    ],
)
def test_prompt_is_refused(sctd: Command, here: Path, prompt: str, says: str) -> None:
    assert says in sctd("generate", "--", prompt).error_line()
    assert says in sctd("prior", "sample", "--", prompt).error_line()
    assert tree(here) == []


@pytest.mark.parametrize(
    "prompt", ["a red mushroom", "a cat/dog, half and half", "a 1.5 m tall robot", "Café"]
)
def test_ordinary_words_are_no_path(prompt: str) -> None:
    from sctd.preflight import check_prompt

    assert check_prompt(f" {prompt} ") == prompt


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", "\u3000"])
def test_every_space_is_a_space(space: str) -> None:
    """Pasted text has no-break and thin ones; a config file's prompt is read alike."""
    from sctd.config import load_config
    from sctd.preflight import check_prompt

    pasted = f"{space}a red{space}mushroom"
    assert check_prompt(pasted) == GOOD
    config = load_config(prompt=pasted.strip(space), negative_prompt=f"bad{space}one")
    assert (config.prompt, config.negative_prompt) == (GOOD, "bad one")


@pytest.mark.parametrize(
    "prompt", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "a \U0001f469\u200d\U0001f680"]
)
def test_joiners_belong_to_words(prompt: str) -> None:
    """The zero-width non-joiner of Persian, and the joiner in an emoji of several."""
    from sctd.config import load_config
    from sctd.preflight import check_prompt

    assert check_prompt(prompt) == prompt
    assert load_config(prompt=prompt).prompt == prompt


def test_refusal_says_what_is_known_and_how_to_go_on(sctd: Command) -> None:
    line = sctd("generate", "a bagel with a red carr").error_line()
    assert "it does not know 'bagel', 'carr' (did you mean 'car'" in line
    assert "such as 'a " in line
    assert "--prior" in line
    told = re.search(r"`sctd (.*)` lists what it knows", line)
    assert told is not None
    listed = sctd(*told[1].split())
    assert listed.code == 0
    assert "mushroom" in listed.out
    assert "purple" in listed.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "prompt is missing"),
        ((GOOD, "--set", "nonsense=1"), "unknown setting 'nonsense'"),
        ((GOOD, "--set", "cameras.nonsense=1"), "nonsense"),
        ((GOOD, "--set", "cameras.batch=0"), "cameras.batch"),
        ((GOOD, "--set", "cameras.batch=many"), "cameras.batch"),
        ((GOOD, "--set", "cameras.batch"), "key=value"),
        ((GOOD, "--steps", "0"), "--steps"),
        ((GOOD, "--steps", "1e9"), "--steps"),
        ((GOOD, "--steps", "1000000000"), "iterations"),
        ((GOOD, "--seed", "-1"), "--seed"),
        ((GOOD, "--seed", str(2**70)), "seed"),
        ((GOOD, "--preset", "nonsense"), "unknown preset 'nonsense'"),
        ((GOOD, "--config", "missing.yaml"), "missing.yaml"),
        ((GOOD, "--method", "nonsense"), "method 'nonsense'"),
        ((GOOD, "--device", "abacus"), "device"),
        ((GOOD, "--nonsense"), "--nonsense"),
        ((GOOD, "more", "words"), "sctd generate --help"),
        ((GOOD, "--resume", "--overwrite"), "exclude each other"),
        ((GOOD, "--resume"), "nothing to resume"),
        (("--resume", "--out", "missing"), "nothing to resume"),
        ((GOOD, "--out", "a" * 300), "name is too long"),
    ],
)
def test_option_is_refused(sctd: Command, here: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in sctd("generate", *arguments).error_line()
    assert tree(here) == []


@pytest.mark.parametrize("text", ["[1, 2", "just words", "prompt: 1\n\tcameras: 2", "nonsense: 1", "\0"])
def test_config_file_is_refused(sctd: Command, here: Path, text: str) -> None:
    (here / "settings.yaml").write_text(text)
    assert "error:" in sctd("generate", GOOD, "--config", "settings.yaml").error_line()
    assert tree(here) == ["settings.yaml"]


def test_prompt_of_a_config_file_is_checked_too(sctd: Command, here: Path) -> None:
    (here / "settings.yaml").write_text('prompt: "../../etc/passwd"\n')
    assert "looks like a path" in sctd("generate", "--config", "settings.yaml").error_line()


def test_unknown_command(sctd: Command) -> None:
    assert "'generate'" in sctd("generat", GOOD).error_line()


def test_existing_run_folder(sctd: Command, here: Path) -> None:
    (here / "old").mkdir()
    (here / "old" / "precious.txt").write_text("mine")
    line = sctd("generate", GOOD, "--out", "old").error_line()
    assert "--overwrite" in line
    assert "--resume" in line
    # Overwriting is for runs, not for whatever lies there.
    assert "old" in sctd("generate", GOOD, "--out", "old", "--overwrite").error_line()
    assert (here / "old" / "precious.txt").read_text() == "mine"


def test_run_folder_is_a_file(sctd: Command, here: Path) -> None:
    (here / "old").write_text("mine")
    for arguments in ((), ("--overwrite",)):
        assert "not a folder" in sctd("generate", GOOD, "--out", "old", *arguments).error_line()
    assert "folder" in sctd("generate", GOOD, "--out", "old/below").error_line()
    assert (here / "old").read_text() == "mine"


def obey_permissions() -> None:
    """Take the right to ignore permission bits from the next program, which root has."""
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
    if os.geteuid() == 0:
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0


def test_read_only_folder(sctd_process: Command, here: Path) -> None:
    (here / "locked").mkdir()
    (here / "locked").chmod(0o555)
    for out in ("locked/run", "locked/deep/er/run"):
        line = sctd_process("generate", GOOD, "--out", out, before=obey_permissions).error_line()
        assert "locked" in line
        assert "cannot write" in line
    assert tree(here) == ["locked"]


def test_default_folder_in_a_read_only_place(sctd_process: Command, here: Path) -> None:
    here.chmod(0o555)
    try:
        assert "cannot write" in sctd_process("generate", GOOD, before=obey_permissions).error_line()
    finally:
        here.chmod(0o755)
    assert tree(here) == []


def test_no_disk_for_a_megabyte(sctd_process: Command, here: Path) -> None:
    """A real failing write, by the limit on a file's size."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    assert "cannot write" in sctd_process("generate", GOOD, "--out", "run", before=small_files).error_line()
    assert tree(here) == []


def test_disk_too_small_for_a_run(sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10 << 20, 0, 10 << 20))
    line = sctd("generate", GOOD, "--out", "deep/run").error_line()
    assert "only 10 M" in line
    assert "64 MB are needed" in line
    assert tree(here) == []


def test_refusal_does_not_load_torch(sctd_process: Command) -> None:
    """What is refused is refused at once: none of the slow modules is loaded."""
    code = (
        "import sys; from sctd_cli.main import run; code = run(sys.argv[1:]);"
        "slow = {'torch', 'diffusers', 'transformers'} & set(sys.modules);"
        "sys.exit(f'loaded {slow}' if slow else code)"
    )
    for arguments in (("a bagel with lox",), (GOOD, "--set", "a=1"), (GOOD, "--resume"), ("",)):
        sctd_process("generate", *arguments, code=code).error_line()


def test_too_little_memory_is_said_as_such() -> None:
    """However the allocator that failed puts it, and whatever was made of its error on the way."""
    import torch

    from sctd_cli.failures import explain

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    wrapped = OSError("Unable to load weights from checkpoint file")
    wrapped.__cause__ = caught.value
    for exc in (caught.value, wrapped, MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")):
        message, code = explain(exc)
        assert message.startswith("out of memory; close other programs")
        assert code == 1
