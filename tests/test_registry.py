"""Methods of other packages: one file and an entry point, no edit here."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from toy_method import ToySettings

from sctd import registry
from sctd.config import Config, load_config
from sctd.config.run import _with_sections
from sctd.errors import InputError

SMALL = ("gaussians.count=20", "cameras.size=32")
SOURCE = Path(__file__).parent / "support" / "toy_method.py"


def install(folder: Path, *points: str) -> None:
    """What pip leaves of a package: its file, and its metadata with the entry points."""
    info = folder / "toy_method-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "toy_method.py").write_text(SOURCE.read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sctd.methods]\n" + "\n".join(points) + "\n")


@pytest.fixture(autouse=True)
def _looked_for_anew() -> Iterator[None]:
    """What is installed changes here from test to test, as it never does while a program runs."""
    kept = (registry.outside, _with_sections)
    for cache in kept:
        cache.cache_clear()
    yield
    for cache in kept:
        cache.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "toy = toy_method:Toy")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_page_shows_the_file_and_it_is_short(repository: Path) -> None:
    page = (repository / "docs" / "methods_of_your_own.md").read_text(encoding="utf-8")
    text = SOURCE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert text.partition("\n\n")[2] in page


@pytest.mark.usefixtures("installed")
def test_its_settings_are_a_section_like_any_other() -> None:
    config = load_config(prompt="x", method="toy", overrides=["toy.grey=0.5"])
    assert isinstance(config, Config)
    assert type(config.rule) is ToySettings
    assert config.rule.grey == 0.5
    again = pickle.loads(pickle.dumps(config))
    assert again.model_dump() == config.model_dump()
    assert yaml.safe_load(config.to_yaml())["toy"]["grey"] == 0.5
    with pytest.raises(InputError, match=r"unknown setting 'toy.gray'; did you mean 'toy.grey'\?"):
        load_config(prompt="x", method="toy", overrides=["toy.gray=0.5"])
    with pytest.raises(InputError, match=r"toy.grey"):
        load_config(prompt="x", method="toy", overrides=["toy.grey=2"])


@pytest.mark.usefixtures("installed")
def test_who_does_not_name_it_does_not_load_it() -> None:
    assert "toy" not in load_config(prompt="x").model_dump()
    with pytest.raises(InputError, match=r"available: sctd, sds, .*, toy$"):
        registry.check("tou")


def test_a_run_with_it_from_the_command_line(tmp_path: Path) -> None:
    """A process of its own, which finds the package as it would find an installed one."""
    install(tmp_path / "site", "toy = toy_method:Toy")
    settings = [
        "gaussians.count=20",
        "cameras.size=32",
        "output.turntable_frames=0",
        "output.contact_views=0",
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from sctd_cli.main import run; sys.exit(run(sys.argv[1:]))"),
            *("generate", "a red ball", "--method", "toy", "--steps", "2", "--prior", "analytic"),
            *("--out", str(tmp_path / "run"), *(f"--set={setting}" for setting in settings)),
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "asset.ply").is_file()
    assert load_config(prompt="x").method == "sctd"


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        (["sds = toy_method:Toy"], "installed method 'sds' .* has the name of another one"),
        (["toy = toy_method:Nothing"], "installed method 'toy' .* cannot be loaded"),
        (["toy = not_there:Toy"], "installed method 'toy' .* cannot be loaded .*not_there"),
    ],
)
def test_a_broken_package_is_told_in_one_line(
    points: list[str], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, *points)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=wanted):
        load_config(prompt="x", method="toy")
