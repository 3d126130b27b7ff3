"""Runs of several stages: each with settings of its own, and resumed in the right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from small import small_config, small_prior
from tiny import write_folder

from sctd.config import Config
from sctd.errors import InputError
from sctd.formats.table import read_gaussians
from sctd.pipeline import RunResult, generate
from sctd.preflight import check_config
from sctd.run import checkpoint as checkpoints
from sctd.run.folder import CHECKPOINTS, LOG, read_log
from sctd.run.report import Silent

STAGES = (
    "stages=[{name: shape, share: 2, settings: {method: sds, cameras: {batch: 1}, optim: {beta1: 0.5}}},"
    " {name: detail, share: 1, settings: {densify: {strategy: none}, gaussians: {sh_degree: 1}}}]"
)
NORMAL_MAPS = "representation: mesh, surface: {shown: normals}"
ITERATIONS = 18
FIRST = 12
"""Iterations of the first stage."""


class Stages(Silent):
    """What a run says of its stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str) -> None:
        self.names.append(name)


def config_of(*overrides: str) -> Config:
    return small_config(ITERATIONS, STAGES, "output.contact_views=0", "output.page=false", *overrides)


def run(out: Path, *, resume: bool = False, stop: Callable[[], bool] | None = None) -> RunResult:
    return generate(config_of(), out, resume=resume, prior=small_prior(), stop=stop)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(tmp_path_factory.mktemp("stages") / "whole")


def test_each_stage_has_its_settings(whole: RunResult) -> None:
    rows = read_log(whole.folder / LOG)
    assert [row["iteration"] for row in rows] == list(range(ITERATIONS))
    assert all(row["evaluations"] == 2 for row in rows[:FIRST]), "SDS asks twice for its one camera"
    assert all(float(row["evaluations"] or 0) >= 8 for row in rows[FIRST:]), "SCTD has two cameras again"
    assert any("added" in row for row in rows[:FIRST])
    assert not any("added" in row for row in rows[FIRST:])
    assert read_gaussians(whole.asset_ply, None, print, lambda found: found).shN.shape[1] == 3
    assert (whole.iterations, whole.skipped) == (ITERATIONS, 0)


@pytest.mark.parametrize("at", [7, FIRST, 14])
def test_a_run_is_resumed_in_its_stage_bit_for_bit(tmp_path: Path, whole: RunResult, at: int) -> None:
    asked = count(1)
    with pytest.raises(KeyboardInterrupt, match=f"after iteration {at} of {ITERATIONS}"):
        run(tmp_path / "run", stop=lambda: next(asked) >= at)
    found, _ = checkpoints.latest(tmp_path / "run" / CHECKPOINTS)
    assert found is not None
    assert (found.iteration, found.counters["stage"]) == (at, int(at > FIRST))
    again = run(tmp_path / "run", resume=True)
    assert again.asset_ply.read_bytes() == whole.asset_ply.read_bytes()
    assert [row["iteration"] for row in read_log(tmp_path / "run" / LOG)] == list(range(ITERATIONS))


def test_the_stages_are_named_and_other_ones_are_other_settings(tmp_path: Path, whole: RunResult) -> None:
    said = Stages()
    generate(config_of(), whole.folder, resume=True, prior=small_prior(), report=said)
    assert said.names == ["stage detail", "writing the asset"]
    with pytest.raises(InputError, match=r"other settings \(stages\)"):
        generate(config_of("stages=[]"), whole.folder, resume=True, prior=small_prior())


def test_a_stage_with_a_prior_of_its_own_needs_it_loaded(tmp_path: Path) -> None:
    config = config_of("stages=[{name: a}, {name: b, settings: {prior: analytic}}]")
    with pytest.raises(InputError, match="a stage has a prior of its own, analytic"):
        generate(config, tmp_path / "run", prior=small_prior())
    with pytest.raises(InputError, match="does not know"):
        check_config(config.with_changes(prompt="a bagel"))


def test_priors_are_loaded_with_their_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(config: Config) -> object:
        loaded.append(str(config.prior))
        return small_prior()

    monkeypatch.setattr("sctd.pipeline.prior_of", load)
    stages = (
        "stages=[{name: a, settings: {prior: analytic}}, {name: b, settings: {prior: analytic}}, {name: c}]"
    )
    said = Stages()
    generate(config_of(stages, "iterations=3"), tmp_path / "run", report=said)
    assert loaded == ["embedded", "analytic", "embedded"], "the last one is tried before the run begins"
    assert said.names[1:6] == ["loading the prior", "stage a", "stage b", "loading the prior", "stage c"]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            f"{NORMAL_MAPS}, sctd: {{flip: 0}}",
            r"are 4 channels, and .* have 5: .*latent_share=0",
        ),
        ("sctd: {t_max: 999}", "no signal left at timestep 998"),
        ("sctd: {perp_neg: {enabled: true}}", r"set sctd\.perp_neg\.enabled=false"),
    ],
)
def test_what_a_later_stage_refuses_of_the_prior_is_refused_at_once(
    tmp_path: Path, second: str, told: str
) -> None:
    """Of a prior with 5 channels, that reads cameras, and whose last timesteps have no signal."""
    prior = small_prior()
    abar = prior.traits.alphas_cumprod.clone()
    abar[998:] = 0
    prior.traits = replace(prior.traits, latent_shape=(5, 4, 4), reads_cameras=True, alphas_cumprod=abar)
    config = config_of("sctd.t_max=980", f"stages=[{{name: a}}, {{name: b, settings: {{{second}}}}}]")
    with pytest.raises(InputError, match=f"^stage 'b': .*{told}"):
        generate(config, tmp_path / "run", prior=prior)
    assert not (tmp_path / "run").exists()


def test_the_prior_and_the_memory_of_a_later_stage_are_looked_at_before_the_run(tmp_path: Path) -> None:
    five = write_folder(tmp_path / "five", latent_channels=5)
    with pytest.raises(InputError, match=r"^stage 'b': prior .*the VAE has 5"):
        generate(config_of(f"stages=[{{name: a}}, {{name: b, settings: {{prior: {five}}}}}]"), tmp_path / "a")
    fits = (f"prior.name={write_folder(tmp_path / 'four')}", "prior.card_gib=1")
    with pytest.raises(InputError, match=r"^stage 'b': prior .* needs about .* 1\.0 GiB are allowed"):
        generate(
            config_of(*fits, "stages=[{name: a}, {name: b, settings: {cameras: {size: 4096}}}]"),
            tmp_path / "a",
        )
    assert not (tmp_path / "a").exists()
