"""Timers round a training step: they change no bit of it, and their stages add up."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import ORIGINAL, SMALL, small_config, small_prior

from sctd.bench import batch, generate, report, step, table
from sctd.bench.report import Row
from sctd.bench.stages import PRIOR_STAGES, STAGES, StageClock, instrumented
from sctd.errors import InputError
from sctd.gaussians import Gaussians
from sctd.stages import SILENT, STEP
from sctd.trainer import Trainer

FULL = ("regularisers.reconstruction=1.0", "regularisers.brightness=true", "sctd.as_latent=0.0")


class Ticks:
    """A clock that moves a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> tuple[float, float]:
        self.now += 1
        return self.now, 10 * self.now


def test_inner_stages_are_taken_off_the_outer_ones() -> None:
    clock = StageClock(now=Ticks())
    inner = clock.timed("inner", lambda: 5)
    assert clock.timed("outer", lambda: inner() + inner())() == 10
    clock.enter("first")
    clock.turn_into("second")
    clock.leave()
    wall, cpu = clock.take()
    assert wall == {"outer": 3.0, "inner": 2.0, "first": 1.0, "second": 1.0}
    assert cpu == {stage: 10 * seconds for stage, seconds in wall.items()}
    assert clock.take() == ({}, {})


@pytest.mark.parametrize("strategy", [(), ORIGINAL], ids=["relocate", "original"])
def test_measured_steps_are_the_same_steps(strategy: tuple[str, ...]) -> None:
    config = small_config(12, *strategy, *FULL)
    plain, measured = (Trainer(config, small_prior()) for _ in range(2))
    for _ in range(9):
        plain.step()
    step.measure(measured, 9)
    assert measured.iteration == 9
    for name, value in plain.gaussians.parameters().items():
        assert torch.equal(value, measured.gaussians.parameters()[name]), name


def test_every_stage_gets_its_time_and_all_add_up() -> None:
    trainer = Trainer(small_config(12, *FULL), small_prior())
    samples, _ = step.measure(trainer, 8)
    assert set(samples) == {STEP, *STAGES, step.PRIOR, step.REST}
    for stage in STAGES:
        assert sum(samples[stage].wall_ms) > 0, stage
    for i, whole in enumerate(samples[STEP].wall_ms):
        assert sum(samples[stage].wall_ms[i] for stage in STAGES) == pytest.approx(whole)
        prior = sum(samples[stage].wall_ms[i] for stage in PRIOR_STAGES)
        assert samples[step.PRIOR].wall_ms[i] == pytest.approx(prior)
        assert samples[step.REST].wall_ms[i] == pytest.approx(whole - prior)


def test_work_is_booked_where_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds spent in one function appear in its stage: forward, backward behind and before the picture."""
    clock = StageClock(now=lambda: (now[0], now[0]))
    now = [0.0]

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, seconds: float) -> torch.Tensor:
            ctx.seconds = seconds
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            now[0] += ctx.seconds
            return grads[0], None

    prior = small_prior()
    encode, predict = prior.encode_images, prior.predict
    activated = Gaussians.activated

    def slow_predict(*arguments: Any) -> torch.Tensor:
        now[0] += 100
        return predict(*arguments)

    def slow_activated(self: Any, *noise: Any) -> Any:
        means, *rest = activated(self, *noise)
        return (Slow.apply(means, 10_000.0), *rest)

    monkeypatch.setattr(prior, "encode_images", lambda images, g: encode(Slow.apply(images, 1000.0), g))
    monkeypatch.setattr(prior, "predict", slow_predict)
    monkeypatch.setattr(Gaussians, "activated", slow_activated)
    trainer = Trainer(small_config(12, *FULL), prior)
    with instrumented(trainer, clock):
        trainer.step()
    wall = {stage: seconds for stage, seconds in clock.take()[0].items() if seconds}
    calls = wall.pop("network") / 100
    assert calls >= 3
    assert wall == {"VAE backward": 1000.0, "render backward": 10_000.0}


def test_the_timers_come_off_again() -> None:
    trainer = Trainer(small_config(12), small_prior())
    before = dict(vars(trainer.prior))

    def interrupted() -> None:
        with instrumented(trainer, StageClock()):
            assert vars(trainer.prior).keys() > before.keys()
            trainer.step()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (trainer.observer, trainer.asset.observer) == (SILENT, SILENT)
    assert vars(trainer.prior).keys() == before.keys()


def test_the_step_command(bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "load_prior", lambda *_: small_prior())
    settings = [f"--set={text}" for text in SMALL]
    shown = bench("step", "--steps", "3", "--warmup", "1", "--threads", "1", "--json", "a.json", *settings)
    assert shown.code == 0, shown.err
    rows = report.load(tmp_path / "a.json")
    assert {row.measure for row in rows} >= {step.PRIOR, step.REST, "render backward"}
    shares = {row.measure: row.values["wall_share"] or 0.0 for row in rows}
    assert shares[step.PRIOR] + shares[step.REST] == pytest.approx(1)
    assert "everything else" in shown.out
    refused = bench("step", "--prompt", "a nuclear submarine")
    assert (refused.code, refused.out) == (2, "")


def test_a_run_is_measured_by_its_stages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child's part in this process, with a small prior, and what the parent makes of it."""
    monkeypatch.setattr("sctd.prior.load_prior", lambda *_: small_prior())

    def child(module: str, task: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["child", json.dumps(task)])
        capsys.readouterr()
        generate.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    monkeypatch.setattr(generate, "call_child", child)
    said: list[str] = []
    options = generate.Options(prompt="a red ball", steps=3, repeats=2, threads=1, overrides=SMALL)
    rows = {row.measure: row for row in generate.run(options, said.append)}
    assert said == ["run 1 of 2: 3 steps", "run 2 of 2: 3 steps"]
    assert set(rows) >= {generate.LOOP, "loading the prior", "writing the asset", "whole process"}
    whole: Row = rows["whole process"]
    assert len(whole.wall_ms) == 2
    assert sum(min(row.wall_ms) for row in rows.values()) <= 2 * max(whole.wall_ms)
    assert whole.values["peak_mb"] > 50
    assert rows[generate.LOOP].values["iterations_per_s"] == pytest.approx(
        3000 / max(rows[generate.LOOP].wall_ms)
    )


def test_batch_shares_the_cores_among_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The children themselves are those of `generate`; here a stand-in that says what it got. Two runs side
    by side wait for each other: one after another would not end."""
    tasks: list[dict[str, Any]] = []
    together = threading.Barrier(2, timeout=10)

    def child(module: str, task: dict[str, Any]) -> dict[str, Any]:
        assert module == "sctd.bench.generate"
        assert Path(task["out"]).parent.is_dir()
        tasks.append(task)
        if task["threads"] == 1:
            together.wait()
        return {"cpu": {"whole process": 2.0}, "peak_mb": 100.0}

    monkeypatch.setattr(batch, "call_child", child)
    monkeypatch.setattr(batch, "usable_cores", lambda: 2)
    said: list[str] = []
    options = batch.Options(prompt="a red ball", steps=3, repeats=2, processes=(1, 2), overrides=SMALL)
    one, two = batch.run(options, said.append)
    assert [task["threads"] for task in tasks] == [2, 2, 1, 1, 1, 1]
    assert len({task["out"] for task in tasks}) == 6
    assert (one.measure, two.measure) == ("1 at once", "2 at once")
    assert two.values["peak_mb"] == 200.0
    assert two.cpu_ms == [2000.0, 2000.0]
    assert two.values["assets_per_hour"] == pytest.approx(3.6e6 / max(two.wall_ms), rel=1e-9)
    assert "2 at once" in table.text([one, two])
    with pytest.raises(InputError, match=r"numbers in 1\.\.256; got \[0\]"):
        batch.run(batch.Options(processes=(0,)), said.append)
