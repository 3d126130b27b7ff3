"""Stages in the configuration: what each comes to, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sctd.config import load_config
from sctd.config.stages import StageSettings, lengths
from sctd.errors import InputError

TWO = "stages=[{name: a, share: 2, settings: {method: sds, optim: {means: {start: 0.5}}}}, {name: b}]"


def test_a_run_without_stages_is_its_only_one() -> None:
    config = load_config(prompt="x")
    (part,) = config.parts()
    assert part is config


def test_a_stage_is_a_run_of_its_own_settings() -> None:
    config = load_config(prompt="x", iterations=30, overrides=[TWO])
    first, second = config.parts()
    assert [(part.method, part.iterations, part.stages) for part in (first, second)] == [
        ("sds", 20, ()),
        ("sctd", 10, ()),
    ]
    assert (first.optim.means.start, first.optim.means.end) == (0.5, config.optim.means.end)
    assert second == config.with_changes(iterations=10, stages=[])


@pytest.mark.parametrize(
    ("shares", "iterations", "wanted"),
    [((1, 1, 1), 10, [3, 4, 3]), ((5000, 3000), 80, [50, 30]), ((0.1, 0.9), 10, [1, 9]), ((1,), 7, [7])],
)
def test_the_lengths_add_up(shares: tuple[float, ...], iterations: int, wanted: list[int]) -> None:
    stages = [StageSettings(name=str(k), share=share) for k, share in enumerate(shares)]
    assert lengths(stages, iterations) == wanted


def test_the_file_of_a_run_holds_them(tmp_path: Path) -> None:
    config = load_config(prompt="x", overrides=[TWO])
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(file=tmp_path / "c.yaml") == config


def test_paths_of_a_stage_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    config = load_config(prompt="x", overrides=["stages=[{name: a, settings: {prior: model}}]"])
    assert config.stages[0].settings == {"prior": {"name": str(tmp_path / "model")}}


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ("[{name: a, settings: {seed: 3}}]", "seed: the same in all stages; set it for the run"),
        ("[{name: a}, {name: a}]", "two stages have one name: a, a"),
        ("[{name: a, settings: {cameras: {bach: 3}}}]", "stage 'a': unknown setting 'cameras.bach'; did you"),
        ("[{name: a, settings: {cameras: {batch: 0}}}]", "stage 'a': setting 'cameras.batch' must be"),
        ("[{name: a, share: 0}]", "setting 'stages.0.share' must be"),
        ("[{name: a b}]", "setting 'stages.0.name' must be letters, digits, _ and -; got 'a b'"),
        ("[{share: 1}]", "setting 'stages.0.name' is missing"),
        ("[{name: a, shares: 2}]", "unknown setting 'stages.0.shares'; did you mean 'stages.0.share'?"),
        ("[{name: a, share: 1000}, {name: b}]", "9 iterations leave a stage none; set more, or other shares"),
    ],
)
def test_what_is_refused(stages: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config(prompt="x", iterations=9, overrides=[f"stages={stages}"])
    assert says in str(caught.value)
