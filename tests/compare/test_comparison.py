"""Methods side by side: equal conditions, the budget, resuming, failures, and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from small import small_config, small_prior

from sctd import methods
from sctd.compare import budget, page
from sctd.compare.comparison import Outcome, PlannedRun, carry_out, carry_out_all, is_done, plan, run_lengths
from sctd.config import differences
from sctd.errors import InputError
from sctd.pipeline import generate
from sctd.prior.base import Prior
from sctd.run.folder import RunFolder
from sctd.run.read_back import read_run
from sctd.run.report import Silent

STEPS = 8


def jobs_of(
    out: Path, names: Sequence[str] = ("sctd", "csd"), seeds: Sequence[int] = (0, 1)
) -> list[PlannedRun]:
    base = small_config(STEPS)
    return plan(base, names, seeds, out, run_lengths(base, names, None))


class Dies(Silent):
    """Ends a run at an iteration, as a crash would."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.began = -1

    def start(self, total: int, start_iteration: int) -> None:
        self.began = start_iteration

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        if iteration == self.at:
            raise RuntimeError("the lights\nwent out")


def never() -> Prior:
    raise AssertionError("the prior was loaded although every run is finished")


def test_the_runs_differ_in_method_and_seed_alone(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    assert [job.name for job in jobs] == ["sctd-seed0", "csd-seed0", "sctd-seed1", "csd-seed1"]
    assert differences(jobs[0].config, jobs[1].config) == ["method"]
    assert differences(jobs[0].config, jobs[2].config) == ["seed"]


def test_what_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="method is named twice"):
        jobs_of(tmp_path, ("sctd", "sctd"))
    with pytest.raises(InputError, match="no seed is given"):
        jobs_of(tmp_path, seeds=())
    with pytest.raises(InputError, match="'none' is unknown"):
        jobs_of(tmp_path, ("none",))


def test_runs_without_the_file_they_start_from_are_refused_unless_they_began(tmp_path: Path) -> None:
    base = small_config(STEPS, "gaussians.init=file", f"gaussians.init_path={tmp_path / 'gone.ply'}")
    with pytest.raises(InputError, match=r"cannot start from .*gone\.ply: no such file"):
        plan(base, ["sctd"], [0], tmp_path, {"sctd": STEPS})
    with RunFolder.new(tmp_path / "sctd-seed0", overwrite=False) as folder:
        folder.begin(base.model_copy(update={"seed": 0}))
    plan(base, ["sctd"], [0], tmp_path, {"sctd": STEPS})


@pytest.mark.parametrize("name", methods.BUILT)
def test_every_method_gets_the_same_number_of_evaluations(tmp_path: Path, name: str) -> None:
    """The log's count is the prior's own, and the budget is met but for an iteration and the draw of t."""
    wanted = 600
    config = small_config(350).model_copy(update={"method": name})
    prior, lengths = small_prior(), run_lengths(config, [name], wanted)
    generate(config.model_copy(update={"iterations": lengths[name]}), tmp_path / name, prior=prior)
    used = read_run(tmp_path / name).evaluations
    assert used == prior.evaluations
    # ISM inverts in 1 to 5 steps, SCTD in one or two: over some 50 iterations that is a few percent
    assert used == pytest.approx(wanted, rel=0.08)


def test_budgets_without_an_answer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(10)
    with pytest.raises(InputError, match="less than one iteration"):
        budget.iterations_for(config, 3)
    with pytest.raises(InputError, match="more than 1000000 iterations"):
        budget.iterations_for(config, 10**9)
    monkeypatch.setattr(budget, "evaluations_of", lambda scalars, config: None)
    with pytest.raises(InputError, match="does not log its network evaluations"):
        budget.iterations_for(config, 1000)


def test_a_crash_is_reported_and_resumed_and_the_rest_goes_on(tmp_path: Path) -> None:
    jobs, said = jobs_of(tmp_path, seeds=(0,)), []
    reports = iter([Dies(7), Silent()])
    first = carry_out_all(jobs, small_prior, lambda: next(reports), said.append)
    assert [bool(o.error) for o in first] == [True, False]
    assert first[0].error == "RuntimeError: the lights went out"
    assert [is_done(job) for job in jobs] == [False, True]

    again = Dies(at=-1)
    second = carry_out_all(jobs, small_prior, lambda: again, said.append)
    assert again.began == 5  # the checkpoint of small_config; the finished run was not started again
    assert [o.reused for o in second] == [False, True]
    assert said[-1] == "2/2 csd-seed0: finished before"

    whole = tmp_path / "whole"
    generate(jobs[0].config, whole, prior=small_prior())
    assert (jobs[0].folder / "asset.ply").read_bytes() == (whole / "asset.ply").read_bytes()
    assert carry_out_all(jobs, never, Silent, said.append)[0].run is not None


def test_an_interruption_is_not_swallowed(tmp_path: Path) -> None:
    class Stops(Silent):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(jobs_of(tmp_path)[0], small_prior(), Stops())


def test_runs_of_other_settings_are_not_reused(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, ("sctd",), (0,))
    carry_out(jobs[0], small_prior())
    base = small_config(STEPS, "cameras.batch=1")
    with pytest.raises(InputError, match=r"other settings \(cameras.batch\)"):
        plan(base, ["sctd"], [0], tmp_path, {"sctd": STEPS})
    plan(small_config(STEPS, "output.contact_views=0"), ["sctd"], [0], tmp_path, {"sctd": STEPS})


def test_the_page_holds_everything_and_says_what_failed(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, seeds=(0,))
    outcomes = [carry_out(jobs[0], small_prior()), Outcome(jobs[1], None, "out of <luck>")]
    written = page.write(tmp_path, outcomes, {"sctd-seed0": {"iou": 0.5, "janus": 0.25}}, 1234)
    html = written.read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', html)
    assert len(sources) == 2  # contact sheet and curves, both inside the page
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for text in ("a red ball", "out of &lt;luck&gt;", "1 of 2 runs failed", "1,234 network", "low is good"):
        assert text in html, text

    data = json.loads((tmp_path / "page.json").read_text())
    made, failed = data["runs"]
    assert (made["status"], failed["status"], failed["error"]) == ("finished", "failed", "out of <luck>")
    run = read_run(jobs[0].folder)
    assert (made["evaluations"], made["seconds"], made["iterations"]) == (run.evaluations, run.seconds, STEPS)
    assert made["at_the_end"]["self_consistency"] == run.rows[-1]["self_consistency"]
    assert made["scores"] == {"iou": 0.5, "janus": 0.25}


def test_a_page_without_any_finished_run(tmp_path: Path) -> None:
    job = jobs_of(tmp_path, ("sctd",), (0,))[0]
    assert "1 of 1 runs failed" in page.write(tmp_path, [Outcome(job, None, "no")], {}, None).read_text()
