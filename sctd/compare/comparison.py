"""One prompt by several methods and seeds, everything else equal; resumable; a failed run stops no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sctd import preflight, registry
from sctd.config import Config
from sctd.errors import InputError, SctdError
from sctd.pipeline import generate
from sctd.prior.base import Prior
from sctd.run.folder import CONFIG, LOG, check_same_settings, read_log
from sctd.run.read_back import Run, is_finished, read_run
from sctd.run.report import Reporter


@dataclass(frozen=True)
class PlannedRun:
    """A run that the comparison needs."""

    config: Config
    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


@dataclass(frozen=True)
class Outcome:
    """The result of a job."""

    job: PlannedRun
    run: Run | None
    """The finished run; None when it failed."""
    error: str = ""
    """Why it failed, one line."""
    reused: bool = False
    """It was finished before."""


def plan(
    base: Config, names: Sequence[str], seeds: Sequence[int], out: Path, lengths: Mapping[str, int]
) -> list[PlannedRun]:
    """The runs of every seed by every method, seed by seed.

    Cameras and first Gaussians depend on the seed, not on the method
    (:func:`sctd.trainer.random_streams`).

    Args:
        base: settings of all of them but method and seed.
        out: each run goes into the folder METHOD-seedSEED there.
        lengths: iterations of each method; see :func:`run_lengths`.

    Raises:
        InputError: a method is unknown or named twice, a seed too; a folder holds a run of other settings,
            or a new one cannot start from its file.
    """
    for what, values in (("method", names), ("seed", seeds)):
        if not values:
            raise InputError(f"no {what} is given; name at least one")
        if len(set(values)) != len(values):
            raise InputError(f"a {what} is named twice: {', '.join(map(str, values))}")
    jobs = []
    for seed in seeds:
        for name in names:
            update = {"method": name, "seed": seed, "iterations": lengths[name]}
            job = PlannedRun(base.with_changes(**update), out / f"{name}-seed{seed}")
            _check(job)
            jobs.append(job)
    return jobs


def run_lengths(base: Config, names: Sequence[str], evaluations: int | None) -> dict[str, int]:
    """Iterations of each method: those of the config, or as many as cost the given network evaluations.

    Raises:
        InputError: a method is unknown, or see :func:`sctd.compare.budget.iterations_for`.
    """
    configs = {registry.check(name): base.with_changes(method=name) for name in names}
    if evaluations is None:
        return dict.fromkeys(configs, base.iterations)
    from sctd.compare.budget import iterations_for

    return {name: iterations_for(config, evaluations) for name, config in configs.items()}


def _check(job: PlannedRun) -> None:
    """Refuse a folder that holds a run of other settings, and a new run without the file it starts from."""
    begun = (job.folder / CONFIG).is_file()
    preflight.check_settings(job.config, resume=begun)
    preflight.check_shown(job.config)
    if begun:
        check_same_settings(job.folder, job.config)


def is_done(job: PlannedRun) -> bool:
    """Whether a job's run is finished."""
    if not (job.folder / CONFIG).is_file() or not (job.folder / LOG).is_file():
        return False
    return is_finished(job.folder, job.config, read_log(job.folder / LOG))


def carry_out(job: PlannedRun, prior: Prior, report: Reporter | None = None) -> Outcome:
    """Make or resume the run of a job; any failure but an interruption is in the outcome."""
    try:
        resume = (job.folder / CONFIG).is_file()
        generate(job.config, job.folder, resume=resume, report=report, prior=prior)
        return Outcome(job, read_run(job.folder))
    except SctdError as exc:
        return Outcome(job, None, " ".join(str(exc).split()))
    except Exception as exc:  # out of memory, a bug in one method: the others still have their results
        return Outcome(job, None, f"{type(exc).__name__}: {' '.join(str(exc).split())[:500]}")


def carry_out_all(
    jobs: Sequence[PlannedRun],
    load: Callable[[], Prior],
    reporter: Callable[[], Reporter],
    say: Callable[[str], None],
) -> list[Outcome]:
    """All jobs, one after the other, with one prior, which is not loaded when every run is finished.

    Raises:
        KeyboardInterrupt: finished runs stay, and the same call continues.
    """
    outcomes: list[Outcome] = []
    prior: Prior | None = None
    for number, job in enumerate(jobs, 1):
        finished = is_done(job)
        say(f"{number}/{len(jobs)} {job.name}{': finished before' if finished else ''}")
        if finished:
            outcomes.append(Outcome(job, read_run(job.folder), reused=True))
            continue
        prior = prior or load()
        outcomes.append(carry_out(job, prior, reporter()))
        if outcomes[-1].error:
            say(f"failed: {outcomes[-1].error}")
    return outcomes
