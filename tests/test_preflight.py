"""What is refused before torch is loaded, alike for the command line and the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fresh import loaded_by

from sctd import generate
from sctd.config import Config, load_config
from sctd.errors import InputError
from sctd.preflight import check_config, check_run
from sctd.run.folder import CONFIG

GOOD = "a red mushroom"


def config_of(*overrides: str, prompt: str = GOOD, **direct: Any) -> Config:
    return load_config(overrides=overrides, prompt=prompt, **direct)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (config_of(prompt="runs/a.ply"), "looks like a path"),
        (config_of(prompt="a bagel"), "does not know"),
        (config_of(method="sdss"), "method 'sdss' is unknown"),
        (config_of("gaussians.init=file", "gaussians.init_path=nowhere.ply"), "no such file"),
        (config_of("gaussians.init=file", "gaussians.init_path=a.txt"), "cannot start from"),
        (config_of(prior="nowhere.safetensors"), "no such file"),
        (config_of("prior={name: a/b, loras: [nowhere.safetensors]}"), "no such file"),
        (config_of(device="cuda:99"), "device cuda:99: torch finds"),
    ],
)
def test_library_and_preflight_refuse_alike(tmp_path: Path, config: Config, says: str) -> None:
    said = []
    for call in (check_run, generate):
        with pytest.raises(InputError, match=says) as caught:
            call(config, tmp_path / "deep" / "run")
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"output\.plot needs matplotlib; run"):
        check_config(config_of("output.plot=true"))
    with pytest.raises(InputError, match=r"output\.tensorboard needs tensorboardX; run"):
        check_config(config_of("output.tensorboard=true"))


def test_a_resumed_run_needs_no_file_but_the_same_settings(tmp_path: Path) -> None:
    config = config_of("gaussians.init=file", "gaussians.init_path=nowhere.ply")
    (tmp_path / CONFIG).write_text(config.to_yaml())
    check_run(config, tmp_path, resume=True)
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        check_run(config.with_changes(seed=5), tmp_path, resume=True)


def test_a_loaded_prior_decides_about_the_prompt_itself(tmp_path: Path) -> None:
    check_run(config_of(prompt="a bagel"), tmp_path / "run", prior_is_loaded=True)


def test_a_refusal_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from sctd.config import load_config\n"
        "from sctd.preflight import check_run\n"
        f"check_run(load_config(prompt={GOOD!r}), Path('run'))\n"
    )
    assert not loaded_by(code, "torch", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
