"""The repository keeps its own rules: packaging, pins, sizes, and documentation that names what exists."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fresh import loaded_by

import sctd
from sctd.machine import environment
from tools import versions as tried

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

ROOT = Path(__file__).resolve().parents[1]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        return tomllib.load(stream)


def pins() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==", 1)
            found.setdefault(name.lower().replace("_", "-"), []).append(version)
    return found


def test_every_dependency_has_a_lower_bound_and_a_pin(project: dict[str, Any]) -> None:
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    needed += [line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if line[:1] != "#"]
    for requirement in needed:
        name = re.split(r"[<>=!~;\[ ]", requirement)[0].lower()
        assert name in pins(), f"{name} has no version in constraints.txt"
    for requirement in project["project"]["dependencies"]:
        assert ">=" in requirement, requirement


def test_pins_that_leave_python_3_10_behind_have_a_second_line() -> None:
    for name, versions in pins().items():
        if len(versions) > 1 or ";" in versions[0]:
            markers = sorted(version.partition("; ")[2] for version in versions)
            assert markers == ['python_version < "3.11"', 'python_version >= "3.11"'], name


def test_versions_agree(project: dict[str, Any]) -> None:
    assert project["project"]["version"] == sctd.__version__
    assert f"## {sctd.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_data_file_is_packaged(project: dict[str, Any]) -> None:
    """What is tracked under sctd/ and is no Python file must be in package-data, or an install lacks it."""
    patterns = project["tool"]["setuptools"]["package-data"]["sctd"]
    packaged = {path for pattern in patterns for path in (ROOT / "sctd").glob(pattern)}
    for path in tracked("sctd"):
        assert path.suffix == ".py" or path in packaged, f"{path.relative_to(ROOT)} would not be installed"
    assert ROOT / "sctd" / "config" / "presets" / "embedded.yaml" in packaged


def test_every_module_is_packaged() -> None:
    """A folder without an __init__.py is no package to setuptools, and its modules are left out."""
    for path in tracked("sctd/*.py", "cli/*.py"):
        assert (path.parent / "__init__.py").is_file(), f"{path.relative_to(ROOT)} would not be installed"


def test_the_bounds_of_every_dependency_are_tried(project: dict[str, Any]) -> None:
    """`make oldest` and `make newest` install every extra, and know tests of everything that is installed."""
    extras = project["project"]["optional-dependencies"]
    assert set(tried.EXTRAS) == set(extras)
    needed = [*project["project"]["dependencies"], *itertools.chain(*extras.values())]
    assert set(tried.TESTS) == {re.split(r"[<>=]", requirement)[0] for requirement in needed}
    for name in itertools.chain(*tried.TESTS.values()):
        assert (ROOT / "tests" / name).is_file(), name


def test_those_tests_find_what_they_import() -> None:
    """`make oldest` has the dependencies, and what `tools/versions.py` says beside them: no other tools."""
    names = {*tried.TESTS, *tried.BESIDE, "sctd", "sctd-cli"}
    modules = {name.replace("-", "_") for name in names} | {"PIL", "yaml"} | sys.stdlib_module_names
    modules |= {path.stem for path in tracked("tests/*.py")}
    for name in itertools.chain(*tried.TESTS.values()):
        for node in ast.parse((ROOT / "tests" / name).read_text(encoding="utf-8")).body:
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in imported:
                assert module.split(".")[0] in modules, f"{name} imports {module}, which is not installed"


def test_every_variable_that_is_read_is_known() -> None:
    """Else whoever sets it is told that nothing reads it."""
    reads = r"""(?:environ(?:\.\w+)?|getenv|envvar=|_for_tests)[\[(]?(?:"[\w-]+", )?["'](SCTD_\w+)"""
    paths = tracked("*.py", "*.cpp", "*.cu", "*.h")
    found = {name for path in paths for name in re.findall(reads, path.read_text(encoding="utf-8"))}
    assert found == set(environment.VARIABLES)


def test_no_run_is_committed() -> None:
    """What a run leaves in a folder of its own belongs to nobody's checkout."""
    assert not tracked("*/log.jsonl", "log.jsonl", "*/checkpoints/*")


def test_python_3_10_can_read_every_file() -> None:
    for path in tracked("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))


@pytest.mark.parametrize("pattern", ["*.py", "csrc/*"])
def test_files_stay_small(pattern: str) -> None:
    """About 400 lines a file, one subject: a tenth over is let through, no more."""
    for path in tracked(pattern):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 440, f"{path.relative_to(ROOT)} has {lines} lines"


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest cannot collect two of one name: their folders are no packages."""
    names = [path.name for path in tracked("tests/**/test_*.py", "tests/test_*.py")]
    assert len(names) > 100
    assert sorted(set(names)) == sorted(names)


def test_every_module_says_what_it_is() -> None:
    for path in tracked("sctd/*.py", "cli/*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_documentation_names_files_that_exist() -> None:
    """Everything in the documentation that looks like a file of ours is one."""
    of_users = {"asset.ply", "turntable.mp4", "contact.png", "config.yaml", "log.jsonl", "prompts.txt"} | {
        "asset.html"
    }
    places = (ROOT, ROOT / "sctd", ROOT / "csrc")
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "conventions.md"):
        text = document.read_text(encoding="utf-8")
        for name in set(re.findall(r"[\w/.-]+\.(?:py|md|yaml|txt|toml|h|cpp)\b", text)):
            if Path(name).name in of_users or "*" in name:
                continue
            assert any((place / name).is_file() for place in places), f"{document.name} names {name}"
        for folder in set(re.findall(r"`([\w/]+/)`", text)):
            assert any((place / folder).is_dir() for place in places), f"{document.name} names {folder}"


def test_documentation_names_commands_that_exist() -> None:
    from sctd_cli import generate, main

    known = {command.name for command in main.app.registered_commands} | {"prior"}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bsctd ([a-z]+) ", text.replace("sctd itself", ""))) & known >= {
        "generate",
        "render",
    }
    for option in set(re.findall(r"sctd generate[^\n]*?--([a-z-]+)", text)):
        assert option.replace("-", "_") in {*generate.generate.__annotations__, "set"}, option


def test_importing_the_package_is_cheap() -> None:
    code = "import sctd, sctd.config, sctd.errors, sctd.embedded.world"
    assert not loaded_by(code, "torch", "numpy", "diffusers", "transformers", "sctd._native")


def test_ci_runs_the_tests_of_the_makefile() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()
    listed = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True)
    for step in ("ruff check", "ruff format --check", "clang-format", "mypy", "pytest", "sctd generate"):
        assert step in listed.stdout, step


def test_a_prompt_reaches_the_command_as_typed() -> None:
    """Quotes and semicolons of a prompt must not become shell syntax."""
    prompt = """a "red" mushroom's; echo oops"""
    recipe = subprocess.run(
        ["make", "-n", "generate", f"PROMPT={prompt}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert '"$PROMPT"' in recipe
    assert "oops" not in recipe
