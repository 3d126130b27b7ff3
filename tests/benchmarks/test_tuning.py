"""The benchmark of the methods' settings: equal effort for all, and its page."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.pages.tuning import markdown
from benchmarks.tuning import TRIALS, plan
from sctd import methods
from sctd.config import load_config


def test_every_method_has_as_many_trials_and_the_preset_is_the_first() -> None:
    assert set(TRIALS) == set(methods.BUILT)
    assert {len(trials) for trials in TRIALS.values()} == {6}
    assert all(trials[0] == "" and len(set(trials)) == len(trials) for trials in TRIALS.values())


def test_runs_differ_by_their_trial_alone_and_cost_the_same() -> None:
    entries = plan(["sds"], ["a red mushroom", "a blue car"], 2000, ["seed=3"])
    assert len({entry.name for entry in entries}) == len(entries) == 12
    assert [entry.config.prompt for entry in entries] == ["a red mushroom"] * 6 + ["a blue car"] * 6
    preset = load_config("embedded", None, ["output.turntable_frames=0", "seed=3"], prompt="a red mushroom")
    for entry in entries[:6]:
        assert entry.config.iterations == 250  # of four images under two texts
        plain = preset.with_changes(method="sds", iterations=250).model_dump()
        unlike = {key for key, value in entry.config.model_dump().items() if plain[key] != value}
        assert unlike == (set() if entry.name.endswith("trial0") else {"sds"})


def run(prompt: str, trial: int, psnr: float) -> dict[str, Any]:
    scores = {"psnr": psnr, "iou": 0.9, "color": 1.0, "edge": 0.01}
    return {"folder": f"{prompt}-sds-trial{trial}", "method": "sds", "prompt": prompt, "scores": scores}


@pytest.mark.parametrize(
    ("last", "best"), [(23.0, "`t_max=700` | 2 | **23.00**"), (21.0, "the preset | 2 | **22.00**")]
)
def test_the_page_compares_trials_on_the_prompts_that_all_have(last: float, best: str) -> None:
    runs = [run("a", 0, 22.0), run("b", 0, 22.0), run("c", 0, 40.0), run("a", 1, last), run("b", 1, last)]
    page = markdown(
        {
            "command": {"prompts": ["a", "b", "c"], "evaluations": 2000, "settings": []},
            "trials": {"sds": ["", "t_max=700"]},
            "runs": runs,
            "machine": {"cpu": "a processor", "commit": "0123abc"},
            "failed": {"c-sds-trial1": "out of memory"},
        }
    )
    assert best in page
    assert page.count("**") == 2
    assert "a processor, commit 0123abc" in page
    assert "- c-sds-trial1: out of memory" in page
