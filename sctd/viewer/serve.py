"""`sctd view`: loads assets and runs from the disk into the viewer until it is closed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from sctd.config import load_config
from sctd.formats.assets import read_asset
from sctd.formats.axes import Up
from sctd.run.folder import CONFIG
from sctd.viewer.server import Viewer, plain
from sctd.viewer.visit import Seen, Visit
from sctd.viewer.window import Wish

TICK_S, NEWS_S = 0.05, 0.25
"""Seconds between two checks of the browser's camera, and of the runs."""
_NICE = 10
"""Lower priority than a run on the same cores."""


def serve(
    sources: list[Path],
    host: str,
    port: int,
    *,
    up: Up | None,
    say: Callable[[str], None],
    opened: Callable[[Viewer], None],
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Show one or two assets until ``over``, or an exception such as KeyboardInterrupt.

    Args:
        sources: files of Gaussians or meshes, or folders of runs, also of runs in progress.
        up: of the files, as :func:`sctd.formats.assets.read_asset` has it.
        say: gets one line for each message to the person.
        opened: called once the page can be opened.

    Raises:
        InputError: a source cannot be read.
        Held: a run has a viewer already.
    """
    torch.set_num_threads(1)
    with suppress(OSError, AttributeError):
        os.nice(_NICE)
    with ExitStack() as stack:
        visits = {k: stack.enter_context(Visit(path, say)) for k, path in enumerate(sources) if path.is_dir()}
        files = {k: read_asset(path, up, say) for k, path in enumerate(sources) if k not in visits}
        viewer = Viewer(host, port, [path.name for path in sources])
        stack.callback(viewer.stop)
        for k, asset in files.items():
            viewer.show(k, asset)
        talk = Talk(viewer, visits)
        talk.listen()
        viewer.update()
        opened(viewer)
        while not over():
            viewer.update()
            time.sleep(TICK_S)
            talk.listen()


class Talk:
    """Texts about the runs, and the panel's requests to the first one."""

    def __init__(self, viewer: Viewer, visits: dict[int, Visit]) -> None:
        self._viewer, self._visits = viewer, visits
        self._seen: dict[int, Seen] = {}
        self._heads = {k: f"**{plain(load_config(file=v.run / CONFIG).prompt)}**" for k, v in visits.items()}
        self._due = 0.0
        if 0 in visits:
            viewer.add_controls(
                lambda on: visits[0].want(Wish(pause=on)), lambda: visits[0].want(Wish(stop=True))
            )

    def listen(self) -> None:
        """Show changes of the runs, if it is time to check."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + NEWS_S
        for k, visit in self._visits.items():
            seen = visit.news()
            if seen is None:
                continue
            self._seen[k] = seen
            self._viewer.show(k, seen.asset)
            self._viewer.tell("\n\n".join(self._told(j) for j in self._seen))
            if k == 0:
                self._viewer.allow_controls(seen.running and seen.obeys)

    def _told(self, k: int) -> str:
        numbers = self._visits[k].losses()
        shown = [f"| {plain(name)} | {value:.4g} |" for name, value in numbers.items() if name != "iteration"]
        table = "\n".join(["| | |", "|---|---|", *shown]) if shown else ""
        return f"{self._heads[k]}  \n{self._seen[k].says}\n\n{table}"
