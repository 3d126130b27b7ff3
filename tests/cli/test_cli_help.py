"""Help, version, completion: at once, without torch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest
from cli_outcome import Outcome

from sctd import methods

Command = Callable[..., Outcome]

LOADED = """
import json, sys
from sctd_cli.main import run
code = run(sys.argv[1:])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""
COMMANDS = [
    "generate",
    "batch",
    "render",
    "analyze",
    "compare",
    "evaluate",
    "suite",
    "doctor",
    "prior",
    "prior train",
    "prior sample",
    "prior truth",
    "prior words",
    "prior info",
    "prior check",
    "bench",
    "bench raster",
    "bench ops",
    "bench step",
    "bench generate",
    "bench batch",
    "bench compare",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(
    sctd_process: Command, command: str, record_property: Callable[[str, object], None]
) -> None:
    began = time.perf_counter()
    done = sctd_process(*command.split(), "--help", code=LOADED)
    record_property("seconds", time.perf_counter() - began)  # reported, not asserted: machines differ
    assert done.code == 0
    assert "Usage: sctd" in done.out
    loaded = set(json.loads(done.err))
    assert not loaded & {"torch", "diffusers", "transformers", "numpy", "PIL", "imageio_ffmpeg", "plyfile"}


def test_the_first_help_does_without_the_settings(sctd_process: Command) -> None:
    """They take as long to load as all the rest of it."""
    assert not set(json.loads(sctd_process("--help", code=LOADED).err)) & {"pydantic", "sctd.config"}


def test_every_option_has_help(sctd: Command) -> None:
    for command in COMMANDS:
        help_text = sctd(*command.split(), "--help").out
        for line in help_text.splitlines():
            if line.startswith("  --"):
                assert len(line.split("  ")) > 2 or len(line) > 24, line


def test_nothing_at_all_shows_the_commands(sctd: Command) -> None:
    for arguments in ((), ("prior",), ("bench",)):
        shown = sctd(*arguments)
        assert shown.code == 0
        assert "Commands:" in shown.out
        assert shown.err == ""


def test_version(sctd: Command) -> None:
    import sctd as package

    shown = sctd("--version")
    assert (shown.code, shown.out, shown.err) == (0, f"sctd {package.__version__}\n", "")


def test_completion(sctd_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "_SCTD_COMPLETE", "complete_bash")
    monkeypatch.setitem(os.environ, "COMP_WORDS", "sctd gen")
    monkeypatch.setitem(os.environ, "COMP_CWORD", "1")
    assert sctd_process().out.split() == ["generate"]


@pytest.mark.parametrize("name", methods.BUILT)
def test_dry_run_of_every_method(sctd: Command, name: str) -> None:
    shown = sctd("generate", "a red mushroom", "--method", name, "--dry-run")
    assert shown.code == 0
    assert f"\nmethod: {name}\n" in shown.out
    assert f"\n{name}:\n" in shown.out


def test_dry_run_prints_settings_that_can_be_read_back(sctd: Command, tmp_path: object) -> None:
    shown = sctd("generate", "a red mushroom", "--dry-run", "--seed", "7", "--set", "cameras.batch=3")
    assert shown.code == 0
    assert shown.err == ""
    from pathlib import Path

    from sctd.config import load_config

    file = Path(str(tmp_path)) / "settings.yaml"
    file.write_text(shown.out)
    config = load_config(file=file)
    assert (config.prompt, config.seed, config.cameras.batch) == ("a red mushroom", 7, 3)


def test_a_prior_from_outside_takes_the_settings_of_its_size(sctd: Command) -> None:
    shown = sctd("generate", "a bagel with lox", "--prior", "some/where", "--dry-run")
    assert shown.code == 0
    assert "prior:\n  name: some/where\n" in shown.out
    assert shown.out.splitlines()[-1].endswith("together")
    from sctd.config import load_config

    assert f"iterations: {load_config('sd21', prompt='x').iterations}\n" in shown.out
