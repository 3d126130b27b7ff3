"""Records of a run's progress beside log.jsonl: sheets of views, a time-lapse of them, curves, events.

    progress/0000050.png   four views after 50 iterations, every ``output.progress_every``
    progress.mp4           all of them, at the end
    losses.png             the consistencies, or the loss of another method, over the iterations
    tensorboard/           events for TensorBoard: every scalar of the log, and the sheets

None of them changes the asset. If one cannot be written, the diary says so once and the run continues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sctd.config import Config
from sctd.errors import InputError
from sctd.export.contact import save_contact
from sctd.export.video import save_turntable
from sctd.run.folder import EVENTS, LOSSES, SHEETS, TIMELAPSE

VIEWS = 4
"""Views on a sheet, from the front on."""
_MOST_FRAMES = 600
"""Frames of a time-lapse; with more sheets it skips some, evenly."""
_FPS, _LAST_SECONDS = 10, 2
_SHEET = re.compile(r"(\d{7})\.png")


def sheets(folder: Path) -> dict[int, Path]:
    """Iterations done => the sheet after them, in order, in a run's folder."""
    place = folder / SHEETS
    found = (
        {int(m[1]): p for p in place.iterdir() if (m := _SHEET.fullmatch(p.name))} if place.is_dir() else {}
    )
    return dict(sorted(found.items()))


class Diary:
    """The records of one run, during its loop."""

    def __init__(self, folder: Path, config: Config, done: int, say: Callable[[str], None]) -> None:
        """
        Args:
            done: iterations that are done already; the diary drops sheets of later ones.
            say: gets one message about a file that cannot be written.
        """
        self._folder, self._config, self._say = folder, config, say
        self._ended = False
        self._events: Any = None
        for iteration, path in sheets(folder).items():
            if iteration > done:
                path.unlink(missing_ok=True)
        if config.output.tensorboard:
            from tensorboardX import SummaryWriter

            # The suffix: names have whole seconds, and a run may be resumed within one.
            self._events = SummaryWriter(
                str(folder / EVENTS), purge_step=done if done else None, filename_suffix=f".{done}"
            )
            if not done:
                self._events.add_text("prompt", config.prompt, 0)

    def due(self, iteration: int) -> bool:
        """Whether the diary keeps a sheet after so many iterations."""
        every = self._config.output.progress_every
        return (
            bool(every)
            and not self._ended
            and (iteration % every == 0 or iteration == self._config.iterations)
        )

    def log(self, iteration: int, scalars: Mapping[str, float | str]) -> None:
        """An iteration is done; counts from 1."""
        if self._events is not None:
            for name, value in scalars.items():
                if not isinstance(value, str):
                    self._events.add_scalar(name, value, iteration)

    def sheet(self, iteration: int, views: Tensor) -> None:
        """Keep views, uint8 [VIEWS, H, W, 3], of the Gaussians after so many iterations."""
        place = self._folder / SHEETS
        try:
            place.mkdir(exist_ok=True)
            save_contact(place / f"{iteration:07d}.png", views, columns=VIEWS)
        except OSError as exc:
            self._ended = True
            self._say(
                f"cannot write {place}: {exc.strerror or exc}; the run goes on, its time-lapse ends here"
            )
        if self._events is not None:
            self._events.add_images("views", views.numpy(), iteration, dataformats="NHWC")

    def timelapse(self) -> Path | None:
        """Write progress.mp4 of the sheets; None where there are none.

        Raises:
            OSError: it cannot be written.
        """
        from PIL import Image

        paths = list(sheets(self._folder).values())
        if not self._config.output.progress_every or not paths:
            return None
        paths = paths[:: -(-len(paths) // _MOST_FRAMES)] + [paths[-1]] * (_FPS * _LAST_SECONDS)
        frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        save_turntable(self._folder / TIMELAPSE, frames, _FPS)
        return self._folder / TIMELAPSE

    def plot(self) -> Path | None:
        """Draw losses.png from the log; None where it is not wanted or nothing was logged.

        Raises:
            OSError: it cannot be written.
        """
        if not self._config.output.plot:
            return None
        from sctd.analysis.plot import plot_curves
        from sctd.run.read_back import read_run

        try:
            run = read_run(self._folder)
        except InputError as exc:
            self._say(f"{LOSSES} is not drawn: {exc}")
            return None
        plot_curves([run], self._folder / LOSSES)
        return self._folder / LOSSES

    def __enter__(self) -> Diary:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()
