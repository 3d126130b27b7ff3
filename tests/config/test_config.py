"""Settings: presets, order, round trip, and errors in one line that say what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fresh import loaded_by

from sctd.config import (
    PHASES,
    PRESETS_FOLDER,
    Config,
    build_config,
    differences,
    load_config,
    preset_names,
    with_absolute_paths,
)
from sctd.config.run import leaves
from sctd.errors import InputError


def documented() -> dict[str, tuple[Any, Any]]:
    """Setting => (value in embedded, value in sd21), from the table of docs/algorithm.md."""
    text = (Path(__file__).parents[2] / "docs" / "algorithm.md").read_text(encoding="utf-8")
    table = text.partition("| setting | `embedded` | `sd21` | released |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert all(row[3] for row in rows), "a number without its source"
    return {row[0].strip("`"): (yaml.safe_load(row[1]), yaml.safe_load(row[2])) for row in rows}


def same(told: Any, value: Any) -> bool:
    if isinstance(told, list):
        return len(told) == len(value) and all(map(same, told, value))
    if isinstance(told, float | int) and not isinstance(told, bool):
        return told == pytest.approx(value, rel=1e-9, abs=0)
    return bool(told == value)


@pytest.mark.parametrize(("column", "preset"), [(0, "embedded"), (1, "sd21")])
def test_the_presets_hold_what_the_documentation_says(column: int, preset: str) -> None:
    values = dict(leaves(load_config(preset, prompt="x").model_dump(mode="json")))
    told = {key: both[column] for key, both in documented().items()}
    assert {key: told[key] for key in told if not same(told[key], values[key])} == {}


def test_every_number_of_sd21_has_its_source_in_the_documentation() -> None:
    tree = yaml.safe_load((PRESETS_FOLDER / "sd21.yaml").read_text(encoding="utf-8"))
    assert {key for key, _ in leaves(tree)} - {"prior", "device"} <= documented().keys()
    # and what the run takes from the defaults of sections that the released code sets as well
    defaults = {
        f"sctd.{key}" for key in ("guidance_scale", "segments", "t_min", "t_span", "delta_t", "warmup")
    }
    assert defaults <= documented().keys()


def test_a_change_of_one_percent_in_any_number_of_sd21_is_seen() -> None:
    told = documented()
    for key, value in leaves(yaml.safe_load((PRESETS_FOLDER / "sd21.yaml").read_text(encoding="utf-8"))):
        numbers = value if isinstance(value, list) else [value]
        for i, number in enumerate(numbers):
            if isinstance(number, float | int) and not isinstance(number, bool):
                changed = [*numbers[:i], 1.01 * number or 0.01, *numbers[i + 1 :]]
                assert not same(told[key][1], changed if isinstance(value, list) else changed[0]), key


def test_the_embedded_preset_is_the_default_and_uses_fresh_noise() -> None:
    assert load_config(prompt="x") == load_config("embedded", prompt="x")
    c = load_config(prompt="x")
    assert (c.prior.name, c.sctd.noise, c.sctd.as_latent) == ("embedded", "fresh", 0)
    assert (c.views.left, c.views.right) == ("left side view", "right side view")


def test_phases_take_their_share_of_a_run_of_another_length() -> None:
    for iterations in (50, 1500, 5000, 10_000):
        whole = load_config("sd21", prompt="x", iterations=iterations)
        paced = whole.paced()
        told, got = (dict(leaves(c.model_dump(mode="json"))) for c in (whole, paced))
        assert {key for key in told if told[key] != got[key]} == (
            set() if iterations == 5000 else set(PHASES)
        )
        for key in PHASES:
            assert got[key] == max(1, round(told[key] * iterations / 5000)), key
    embedded = load_config("embedded", prompt="x", iterations=30)
    assert embedded.paced() is embedded


def test_the_preset_for_objects_with_a_front_changes_the_cameras_alone() -> None:
    front, released = (load_config(preset, prompt="x") for preset in ("sd21-front", "sd21"))
    assert differences(released, front) == ["cameras.elevation_deg", "cameras.gamma"]
    assert (front.cameras.elevation_deg, front.cameras.gamma) == ((0, 30), 1.5)


def test_the_paper_preset_is_the_released_one_but_for_what_is_published() -> None:
    paper, released = (load_config(preset, prompt="x") for preset in ("paper", "sd21"))
    assert differences(released, paper) == [
        "sctd.weighting",
        "sctd.warmup_lower_bound",
        "sctd.noise_offset",
        "sctd.exact_null",
        "sctd.guided_condition",
    ]
    assert paper.sctd.weighting == "supplement"
    assert (paper.sctd.exact_null, paper.sctd.guided_condition, paper.sctd.noise_offset) == (True, False, 0)


@pytest.mark.parametrize("preset", preset_names())
def test_yaml_round_trip(preset: str, tmp_path: Path) -> None:
    c = load_config(preset, prompt='a "quoted": ünicode # prompt', seed=2**63 - 1)
    (tmp_path / "c.yaml").write_text(c.to_yaml(), encoding="utf-8")
    assert load_config(file=tmp_path / "c.yaml") == c


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("prompt: file\nseed: 1\niterations: 11\noptim:\n  beta1: 0.5\n")
    c = load_config(
        "sd21", file, ["seed=2", "optim.means.start=0.3", "gaussians.scale_range=[0.1, 0.2]"], seed=3
    )
    assert (c.prompt, c.seed, c.iterations) == ("file", 3, 11)
    assert (c.optim.beta1, c.optim.beta2) == (0.5, 0.999)  # file over preset, the preset's rest stays
    assert (c.optim.means.start, c.optim.means.end) == (0.3, 1.6e-6)
    assert c.gaussians.scale_range == (0.1, 0.2)
    assert load_config(prompt="x", seed=None).seed == 0  # None: not given


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=1", r"unknown setting 'colour'; known: prompt, "),
        ("optim.meens.start=1", r"unknown setting 'optim.meens'; did you mean 'optim.means'\?"),
        ("cameras.bach=1", r"did you mean 'cameras.batch'\? known in cameras: batch, "),
        ("optim.means.start=-1", r"'optim.means.start' must be greater than 0; got -1"),
        ("optim.means.start=.nan", r"'optim.means.start' must be a finite number"),
        ("iterations=0", r"'iterations' must be greater than or equal to 1; got 0"),
        ("iterations=many", r"'iterations' must be a valid integer.*; got 'many'"),
        ("seed=-1", r"'seed' must be greater than or equal to 0; got -1"),
        ("device=tpu", r"'device' must be auto, cpu, cuda or cuda:N; got 'tpu'"),
        ("cameras.radius=[3, 2]", r"'cameras.radius': the low end 3 is above the high end 2"),
        ("cameras.radius=[3]", r"setting 'cameras.radius.1' is missing"),
        ("cameras=3", r"'cameras' must be a valid dictionary"),
        ("gaussians.init=file", r"init = file and init_path go together"),
        ("densify.strategy=best", r"'densify.strategy' must be 'relocate', 'original' or 'none'; got 'best'"),
        ("output.size=33", r"size must be even"),
        ("sctd.segments=0", r"'sctd.segments' must be greater than or equal to 1"),
        ("sctd.t_max=400", r"setting 'sctd'"),
        ("seed", r"must read key=value"),
        ("=3", r"must read key=value"),
        ("seed=[1", r"not valid YAML"),
    ],
)
def test_errors_are_one_line_with_key_and_range(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_config(prompt="x", overrides=[override])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("prompt", ["", "   ", "a" * 1001, "a\nb", "a\x00b", "\x1b[31mred"])
def test_bad_prompts(prompt: str) -> None:
    with pytest.raises(InputError, match="prompt"):
        load_config(prompt=prompt)


def test_no_prompt_is_named() -> None:
    with pytest.raises(InputError, match="setting 'prompt' is missing"):
        load_config()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown preset 'best'; choose one of: embedded"):
        load_config("best", prompt="x")
    with pytest.raises(InputError, match=r"cannot read config file .*No such file"):
        load_config(file=tmp_path / "none.yaml")
    for content, message in ((b"a: [", "not valid YAML"), (b"- 1", "must hold"), (b"\xff\xfe\x00", "UTF-8")):
        (tmp_path / "c.yaml").write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            load_config(file=tmp_path / "c.yaml")
        assert "\n" not in str(caught.value)
    (tmp_path / "c.yaml").write_bytes(b"")
    assert load_config(file=tmp_path / "c.yaml", prompt="x").prompt == "x"


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("prompt: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config(file=tmp_path / "c.yaml")


def test_differences_are_dotted_keys() -> None:
    one = load_config(prompt="x")
    assert differences(one, one) == []
    other = load_config(prompt="x", seed=1, overrides=["optim.means.start=0.5", "gaussians.scale_range=null"])
    assert differences(one, other) == ["seed", "gaussians.scale_range", "optim.means.start"]


def test_every_setting_is_described() -> None:
    def walk(model: type, prefix: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                missing += walk(inner, f"{prefix}{name}.")
            elif not field.description:
                missing.append(f"{prefix}{name}")
        return missing

    assert walk(Config, "") == []


def test_settings_load_without_torch() -> None:
    code = "import sctd, sctd.config, sctd.run.folder, sctd.methods; sctd.load_config(prompt='x')"
    assert not loaded_by(code, "torch", "numpy", "sctd.ops", "sctd._native")


def test_build_config_takes_a_tree() -> None:
    assert build_config({"prompt": "x", "cameras": {"batch": 2}}).cameras.batch == 2


def test_one_key_of_a_group_keeps_the_others() -> None:
    config = load_config(overrides=["optim.means.end=0.001"], prompt="a red mushroom")
    assert (config.optim.means.start, config.optim.means.end) == (0.008, 0.001)
    assert config.optim.shN.end is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "seed: 1\ngaussians:\n  count: 5\ngaussians:\n  sh_degree: 1\n",
            "line 4: 'gaussians' is given twice",
        ),
        ("optim: {beta1: 0.5, beta1: 0.6}\n", "line 1: 'beta1' is given twice, first in line 1"),
    ],
)
def test_a_key_that_is_given_twice_is_refused_by_name_and_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        load_config(file=tmp_path / "c.yaml", prompt="x")
    assert str(tmp_path / "c.yaml") in str(caught.value)
    with pytest.raises(InputError, match="'beta1' is given twice"):
        load_config(prompt="x", overrides=["optim={beta1: 0.5, beta1: 0.6}"])


def test_paths_are_stored_as_seen_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bb", "owner/model", "tiny", "shape"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "points.ply").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    prior = {
        "name": "bb",
        "loras": ["l.safetensors:0.5", str(tmp_path / "m.safetensors")],
        "embeddings": ["e.safetensors:cat"],
        "config": "~/bb",
        "vae": "tiny",
    }
    start = {"init": "file", "init_path": "points.ply", "shap_e": "shape"}
    config = load_config(prompt="x", prior=prior, gaussians=start)
    assert config.prior.name == f"{tmp_path}/bb"
    assert config.prior.loras == [f"{tmp_path}/l.safetensors:0.5", f"{tmp_path}/m.safetensors"]
    assert config.prior.embeddings == [f"{tmp_path}/e.safetensors:cat"]
    assert (config.prior.config, config.prior.vae) == (f"{tmp_path}/bb", f"{tmp_path}/tiny")
    assert config.gaussians.init_path == f"{tmp_path}/points.ply"
    assert config.gaussians.shap_e == f"{tmp_path}/shape"
    monkeypatch.chdir("/")
    assert with_absolute_paths(config) == config

    # What is no path stays: a hub id, unless a folder has its name, and the names of sctd's own.
    assert load_config("sd21", prompt="x", prior="owner/model").prior.name == "owner/model"
    monkeypatch.chdir(tmp_path)
    assert load_config("sd21", prompt="x", prior="owner/model").prior.name == f"{tmp_path}/owner/model"
    (tmp_path / "embedded").mkdir()
    plain = load_config(prompt="x")
    assert (plain.prior.name, plain.prior.vae, plain.gaussians.init_path) == ("embedded", "full", None)
