"""From a config to a run folder: load the prior, loop, save, and write the asset and its pictures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from sctd import diary as diaries
from sctd import initial, preflight
from sctd.config import Config, with_absolute_paths
from sctd.errors import InputError
from sctd.export.asset import orbit, write_asset
from sctd.gaussians import Gaussians
from sctd.machine import device as devices
from sctd.machine.allocator import keep_freed_memory
from sctd.machine.waiting import considerate
from sctd.prior import check_card, prior_of
from sctd.prior.base import Prior
from sctd.run import checkpoint as checkpoints
from sctd.run.folder import LOG, IterationLog, RunFolder, write_failed
from sctd.run.interrupts import Interrupts
from sctd.run.report import Reporter, Silent
from sctd.run.threads import use_threads
from sctd.trainer import Launched, Scalars, Start, Trainer, method_of
from sctd.viewer.window import Window


@dataclass(frozen=True)
class RunResult:
    """What a finished run left behind."""

    folder: Path
    asset_ply: Path | None
    """None where a mesh was made."""
    turntable_mp4: Path | None
    """None when output.turntable_frames is 0."""
    contact_png: Path | None
    """None when output.contact_views is 0."""
    page_html: Path | None
    """None when output.page is off."""
    iterations: int
    skipped: int
    """Iterations without an update because a number was not finite."""
    seconds: float
    """Time of the loop, all sittings together."""
    n_gaussians: int
    """0 where a mesh was made."""
    progress_mp4: Path | None = None
    """None when output.progress_every is 0."""
    losses_png: Path | None = None
    """None unless output.plot."""
    mesh_glb: Path | None = None
    """None unless output.mesh, and where the asset has no surface."""
    asset_glb: Path | None = None
    """None where Gaussians were made."""

    @property
    def asset(self) -> Path:
        """The asset, of either kind."""
        made = self.asset_ply or self.asset_glb
        assert made is not None
        return made


def generate(
    config: Config,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Reporter | None = None,
    prior: Prior | None = None,
    stop: Callable[[], bool] | None = None,
    alone: bool = True,
) -> RunResult:
    """Make a 3D asset from a prompt.

    On a CPU the asset depends on the config and the number of torch threads alone: not on the number of
    native threads, nor on how often the run was killed and resumed.

    Args:
        config: see :func:`sctd.config.load_config`.
        out: the run folder; it must not exist, or be empty. No other process can work in it meanwhile.
        resume: continue with the run in ``out``, from its latest checkpoint.
        overwrite: replace the run in ``out``.
        report: told about progress.
        prior: an already loaded one, instead of ``config.prior``.
        stop: asked after each iteration; True ends the run as Ctrl-C does, also outside the main thread.
        alone: whether a viewer may pause and stop the run; beside others it may only look.

    Raises:
        InputError: unknown or unusable settings, prompt, prior or folder; nothing is left behind.
        Held: another process works in the folder.
        TrainingFailure: ten iterations in a row were not finite; checkpoints and log stay.
        OutputError: a checkpoint or the asset cannot be written; what was written before stays.
        KeyboardInterrupt: after Ctrl-C, SIGTERM, SIGHUP or ``stop``, once a checkpoint is saved; the message
            says how to go on. Without one the run had done no iteration, and nothing is left behind.
    """
    report = report or Silent()
    config = with_absolute_paths(config)
    with ExitStack() as stack:
        stack.callback(report.finish)
        stack.enter_context(considerate())
        interrupts = stack.enter_context(Interrupts(report.message))
        preflight.check_run(
            config, out, resume=resume, overwrite=overwrite, prior_is_loaded=prior is not None
        )
        device = devices.resolve(config.device)
        folder = stack.enter_context(
            RunFolder.reopen(out, config, say=report.message)
            if resume
            else RunFolder.new(out, overwrite=overwrite, say=report.message)
        )
        stack.callback(interrupts.hold)  # however this ends, the folder is put in order first
        use_threads(config.threads)
        keep_freed_memory()
        found = _latest(folder, report) if resume else None
        parts, first = config.parts(), found.counters.get("stage", 0) if found else 0
        # Before the prior is loaded: a file is refused at once, and Shap-E has given its memory back.
        start = Start.at(parts[first], found) if found else _start(config, device, report)
        loaded = _fit(config, first, prior, report)
        trainer = Trainer(parts[first], loaded, start=start)
        seconds = _restore(trainer, found, report) if found else 0.0
        if not resume:
            folder.begin(config)
        try:
            diary = stack.enter_context(
                diaries.Diary(folder.path, config, found.iteration if found else 0, report.message)
            )
            window = Window(folder.path, obeys=alone)
            stack.callback(window.close)
            stops = stop or (lambda: False)
            for part in [*parts[first + 1 :], None]:
                seconds = _loop(trainer, folder, report, seconds, interrupts, stops, diary, window, config)
                if part is None:
                    break
                with _interrupted("stopped between two stages", interrupts, folder, report):
                    same = prior is not None or part.prior == trainer.config.prior
                    start = trainer.next_start()
                    del trainer
                    if not same:
                        del loaded  # before another prior is loaded
                        loaded = _load(part, report)
                    trainer = Trainer(part, loaded, start=start)
            with _interrupted("stopped while the asset was written", interrupts, folder, report):
                return _finish(trainer, folder, report, seconds, diary)
        except OSError as exc:
            raise write_failed(out, exc) from exc


@contextmanager
def _interrupted(what: str, interrupts: Interrupts, folder: RunFolder, report: Reporter) -> Iterator[None]:
    """A signal inside the block ends the run, which says how to go on."""
    try:
        yield
    except KeyboardInterrupt as exc:
        interrupts.hold()
        raise _stopped(what, folder, report) from exc


def _fit(config: Config, first: int, given: Prior | None, report: Reporter) -> Prior:
    """The prior of a stage, once that and all later ones are known to fit their own: what a later one refuses
    would cost the run before it.

    The last stage is first to be looked at, so that the prior of the wanted one stays.

    Raises:
        InputError: a stage cannot work with its prior, or that cannot be loaded, or does not fit the card.
    """
    parts, loaded, whose = config.parts(), given, None
    for k in reversed(range(first, len(parts))):
        part = parts[k]
        try:
            if loaded is None or (given is None and part.prior != whose):
                loaded = None  # before another is loaded
                loaded, whose = _load(part, report), part.prior
            elif given is None:
                check_card(part)
            method_of(part, loaded)
        except InputError as exc:
            who = f"stage {config.stages[k].name!r}: " if config.stages else ""
            raise InputError(f"{who}{exc}") from exc
    assert loaded is not None
    return loaded


def _load(config: Config, report: Reporter) -> Prior:
    report.stage("loading the prior")
    return prior_of(config)


def _start(config: Config, device: torch.device, report: Reporter) -> Start:
    """The first Gaussians, made as the settings say."""
    if config.gaussians.init in (initial.SHAP_E, initial.AUTO):
        report.stage("running Shap-E")
    return Start.of(config, device, report.message)


def _latest(folder: RunFolder, report: Reporter) -> checkpoints.Checkpoint | None:
    """The latest checkpoint that can be read."""
    found, problems = checkpoints.latest(folder.checkpoints)
    for problem in problems:
        report.message(f"ignored a checkpoint: {problem}")
    if found is None:
        report.message(f"no checkpoint in {folder.path} yet: starting at iteration 0")
    return found


def _restore(trainer: Trainer, found: checkpoints.Checkpoint, report: Reporter) -> float:
    """Go to a checkpoint; seconds that the run took until then."""
    trainer.restore(found)
    for what, now in (("torch", torch.__version__), ("torch_threads", trainer.prior.traits.threads_now())):
        if found.counters[what] != now:
            report.message(
                f"the checkpoint was made with {what} {found.counters[what]}, this is {now}: "
                "the asset may differ in its last bits from an uninterrupted run's"
            )
    return float(found.counters["seconds"])


def _loop(
    trainer: Trainer,
    folder: RunFolder,
    report: Reporter,
    seconds: float,
    interrupts: Interrupts,
    stop: Callable[[], bool],
    diary: diaries.Diary,
    window: Window,
    run: Config,
) -> float:
    """Do the iterations that are left of a stage; the run's seconds so far. Signals wait meanwhile."""
    total, every = run.iterations, run.output.checkpoint_every
    report.stage(f"stage {run.stages[trainer.stage].name}" if run.stages else "optimising")
    report.start(total, trainer.done)
    began = time.perf_counter() - seconds
    launched: deque[Launched] = deque()
    interrupts.wait = True
    with IterationLog(folder.path / LOG, trainer.done, report.message) as log:

        def settle(most: int) -> None:
            """Log iterations until that many are left on the device."""
            nonlocal seconds
            while len(launched) > most:
                step = launched.popleft()
                scalars, number = trainer.settle(step), trainer.before + step.iteration
                seconds = time.perf_counter() - began
                folder.worked = True
                log.write(number, {**scalars, "seconds": round(seconds, 3)})
                diary.log(number + 1, scalars)
                report.update(number + 1, _numbers(scalars))

        while trainer.iteration < trainer.config.iterations:
            launched.append(trainer.launch())
            settle(1)  # the one before, while the device is at this one
            if diary.due(trainer.done):
                settle(0)
                views = orbit(trainer.result, run, diaries.VIEWS, max(16, run.output.size // 2))
                diary.sheet(trainer.done, views)
            window.show(trainer.done, trainer.asset.seen)
            began += window.pause(lambda: interrupts.pending or stop())
            stopping = interrupts.pending or stop() or window.wants_stop
            last = trainer.iteration == trainer.config.iterations
            if trainer.done % every == 0 or last or stopping:
                settle(0)
                _save(trainer, folder, seconds)
                report.saved()
            if stopping and trainer.done < total:
                done = f"stopped after iteration {trainer.done} of {total}"
                raise _stopped(done, folder, report)
    interrupts.wait = False
    trainer.check_any_step()
    return seconds


def _stopped(done: str, folder: RunFolder, report: Reporter) -> KeyboardInterrupt:
    text = f"{done}; continue with --resume --out {folder.path}"
    report.message(text)
    return KeyboardInterrupt(text)


def _numbers(scalars: Scalars) -> dict[str, float]:
    return {key: value for key, value in scalars.items() if not isinstance(value, str)}


def _save(trainer: Trainer, folder: RunFolder, seconds: float) -> None:
    checkpoints.save(folder.checkpoints, trainer.checkpoint(seconds), trainer.config.output.keep_checkpoints)


def _finish(
    trainer: Trainer, folder: RunFolder, report: Reporter, seconds: float, diary: diaries.Diary
) -> RunResult:
    """Write the asset and its pictures."""
    result = trainer.result
    made = write_asset(folder.path, result, trainer.config, report)
    if trainer.config.output.progress_every or trainer.config.output.plot:
        report.stage("writing the time-lapse and the curves")
    return RunResult(
        folder.path,
        made.asset_ply,
        made.turntable_mp4,
        made.contact_png,
        made.page_html,
        trainer.done,
        trainer.left_out,
        seconds,
        len(result) if isinstance(result, Gaussians) else 0,
        diary.timelapse(),
        diary.plot(),
        made.mesh_glb,
        made.asset_glb,
    )
