"""From a config to a run folder: load the prior, loop, save, and write the asset and its pictures."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from sctd import diary as diaries
from sctd import initial, methods
from sctd.cameras import orbit_cameras
from sctd.config import Config, with_absolute_paths
from sctd.errors import InputError
from sctd.extras import need_mesh
from sctd.gaussians import Gaussians
from sctd.machine.allocator import keep_freed_memory
from sctd.machine.waiting import considerate
from sctd.prior import load_prior
from sctd.prior.base import Prior
from sctd.render import render_images
from sctd.run import checkpoint as checkpoints
from sctd.run.folder import (
    ASSET,
    CONTACT,
    LOG,
    MESH,
    PAGE,
    TURNTABLE,
    IterationLog,
    RunFolder,
    check_target,
    read_config,
    write_failed,
)
from sctd.run.interrupts import Interrupts
from sctd.run.threads import use_threads
from sctd.trainer import Launched, Scalars, Start, Trainer
from sctd.viewer.window import Window


class Reporter(Protocol):
    """Where a run tells how it goes; see :class:`Silent` for one that listens to nothing."""

    def start(self, total: int, start_iteration: int) -> None:
        """The loop begins: ``total`` iterations, of which ``start_iteration`` are done already."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """An iteration is done; ``iteration`` counts from 1."""

    def saved(self) -> None:
        """A checkpoint of the last iteration is on the disk, and the log is as far."""

    def stage(self, name: str) -> None:
        """Something else than the loop begins, e.g. "loading the prior"."""

    def message(self, text: str) -> None:
        """One line that the user should see."""

    def finish(self) -> None:
        """The run is over, well or not."""


class Silent:
    """A reporter that says nothing."""

    def start(self, total: int, start_iteration: int) -> None:
        """Nothing."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """Nothing."""

    def saved(self) -> None:
        """Nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RunResult:
    """What a finished run left behind."""

    folder: Path
    asset_ply: Path
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
    progress_mp4: Path | None = None
    """None when output.progress_every is 0."""
    losses_png: Path | None = None
    """None unless output.plot."""
    mesh_glb: Path | None = None
    """None unless output.mesh, and where nothing of the asset is opaque enough."""


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
        resume: go on with the run in ``out``, from its latest checkpoint.
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
        _check(config, out, resume=resume, overwrite=overwrite)
        folder = stack.enter_context(
            RunFolder.reopen(out, config, say=report.message)
            if resume
            else RunFolder.new(out, overwrite=overwrite, say=report.message)
        )
        stack.callback(interrupts.hold)  # however this ends, the folder is put in order first
        use_threads(config.threads)
        keep_freed_memory()
        found = _latest(folder, report) if resume else None
        # Before the prior is loaded: a file is refused at once, and Shap-E has given its memory back.
        start = Start.at(config, found) if found else _start(config, report)
        if prior is None:
            report.stage("loading the prior")
            prior = prior_of(config)
        trainer = Trainer(config, prior, start=start)
        seconds = _restore(trainer, found, report) if found else 0.0
        if not resume:
            folder.begin(config)
        try:
            done = found.iteration if found else 0
            diary = stack.enter_context(diaries.Diary(folder.path, config, done, report.message))
            window = Window(folder.path, obeys=alone)
            stack.callback(window.close)
            stops = stop or (lambda: False)
            seconds = _loop(trainer, folder, report, seconds, interrupts, stops, diary, window)
            try:
                return _finish(trainer, folder, report, seconds, diary)
            except KeyboardInterrupt as exc:
                interrupts.hold()
                raise _stopped("stopped while the asset was written", folder, report) from exc
        except OSError as exc:
            raise write_failed(out, exc) from exc


def prior_of(config: Config) -> Prior:
    """The prior of the settings, once it is known to fit the card; several runs may share it.

    Raises:
        InputError: it cannot be found or read, does not fit, or the device is not there.
    """
    device = resolve_device(config.device)
    if device.type == "cuda" or config.prior.card_gib is not None:
        from sctd.prior import card_memory as memory

        memory.check(config, device)
    return load_prior(config.prior, device, None if config.dtype == "auto" else getattr(torch, config.dtype))


def resolve_device(name: str) -> torch.device:
    """The torch device of a config's ``device``; auto takes CUDA when there is one.

    Raises:
        InputError: CUDA is asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name}: torch finds {torch.cuda.device_count()} CUDA devices here; use cpu")
    return device


def _check(config: Config, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what can be refused before the prior is loaded."""
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other; give one of them")
    methods.check(config.method)
    diaries.check(config)
    if config.output.mesh:
        need_mesh("output.mesh")
    resolve_device(config.device)
    if resume:
        read_config(out)
    else:
        check_target(out, overwrite=overwrite)
        initial.check(config.gaussians)


def _start(config: Config, report: Reporter) -> Start:
    """The first Gaussians, made as the settings say."""
    if config.gaussians.init in (initial.SHAP_E, initial.AUTO):
        report.stage("running Shap-E")
    return Start.of(config, resolve_device(config.device), report.message)


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
    for what, now in (("torch", torch.__version__), ("torch_threads", trainer.prior.torch_threads)):
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
) -> float:
    """Do the iterations that are left; the run's seconds so far. Signals wait meanwhile."""
    total, every = trainer.config.iterations, trainer.config.output.checkpoint_every
    report.stage("optimising")
    report.start(total, trainer.iteration)
    began = time.perf_counter() - seconds
    launched: deque[Launched] = deque()
    interrupts.wait = True
    with IterationLog(folder.path / LOG, trainer.iteration, report.message) as log:

        def settle(most: int) -> None:
            """Log iterations until that many are left on the device."""
            nonlocal seconds
            while len(launched) > most:
                step = launched.popleft()
                scalars = trainer.settle(step)
                seconds = time.perf_counter() - began
                folder.worked = True
                log.write(step.iteration, {**scalars, "seconds": round(seconds, 3)})
                diary.log(step.iteration + 1, scalars)
                report.update(step.iteration + 1, _numbers(scalars))

        while trainer.iteration < total:
            launched.append(trainer.launch())
            settle(1)  # the one before, while the device is at this one
            if diary.due(trainer.iteration):
                settle(0)
                size = max(16, trainer.config.output.size // 2)
                views = _orbit(trainer.gaussians, trainer.config, diaries.VIEWS, size)
                diary.sheet(trainer.iteration, views)
            window.show(trainer.iteration, lambda: trainer.gaussians)
            began += window.pause(lambda: interrupts.pending or stop())
            stopping = interrupts.pending or stop() or window.wants_stop
            if trainer.iteration % every == 0 or trainer.iteration == total or stopping:
                settle(0)
                _save(trainer, folder, seconds)
                report.saved()
            if stopping and trainer.iteration < total:
                done = f"stopped after iteration {trainer.iteration} of {total}"
                raise _stopped(done, folder, report)
    interrupts.wait = False
    return seconds


def _stopped(done: str, folder: RunFolder, report: Reporter) -> KeyboardInterrupt:
    text = f"{done}; go on with --resume --out {folder.path}"
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
    trainer.check_any_step()
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable
    from sctd.formats.write_ply import write_ply
    from sctd.viewer.caption import Caption
    from sctd.viewer.page import write_page

    gaussians, config = trainer.gaussians, trainer.config
    asset, turntable, contact, page = (folder.path / name for name in (ASSET, TURNTABLE, CONTACT, PAGE))
    report.stage("writing the asset")
    write_ply(asset, gaussians)
    if config.output.page:
        report.stage("writing the page")
        write_page(page, gaussians, Caption.of_run(config), config.output)
    if config.output.contact_views:
        report.stage("rendering the contact sheet")
        save_contact(contact, _orbit(gaussians, config, config.output.contact_views))
    if config.output.turntable_frames:
        report.stage("rendering the turntable")
        frames = _orbit(gaussians, config, config.output.turntable_frames)
        save_turntable(turntable, frames, config.output.turntable_fps)
    mesh = _mesh(gaussians, folder, report) if config.output.mesh else None
    if config.output.progress_every or config.output.plot:
        report.stage("writing the time-lapse and the curves")
    return RunResult(
        folder.path,
        asset,
        turntable if config.output.turntable_frames else None,
        contact if config.output.contact_views else None,
        page if config.output.page else None,
        trainer.iteration,
        trainer.skipped,
        seconds,
        len(gaussians),
        diary.timelapse(),
        diary.plot(),
        mesh,
    )


def _mesh(gaussians: Gaussians, folder: RunFolder, report: Reporter) -> Path | None:
    """Write mesh.glb; nothing, which is told, where the asset has no surface."""
    from sctd.formats.table import MESH_WRITERS
    from sctd.mesh.extract import extract

    report.stage("making the mesh")
    path = folder.path / MESH
    try:
        made = extract(gaussians.detach())
    except InputError as exc:  # the asset is there all the same
        report.message(str(exc))
        return None
    MESH_WRITERS[path.suffix](path, made.mesh)
    report.message(f"{MESH}: {made.told()}")
    return path


def _orbit(gaussians: Gaussians, config: Config, n: int, size: int | None = None) -> torch.Tensor:
    """Pictures round the object, uint8 [n, H, W, 3]; of ``output.size`` unless another is given."""
    o = config.output
    cameras = orbit_cameras(n, o.elevation_deg, o.radius, math.degrees(o.fovy_rad), size or o.size)
    return render_images(gaussians, cameras, config.output.background)
