"""``sctd view``: an asset, or a run in progress, in the browser."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sctd.errors import InputError
from sctd.extras import need_viser

from . import inputs

if TYPE_CHECKING:
    from sctd.run.report import Reporter
    from sctd.viewer.server import Viewer

HERE = "127.0.0.1"


def view(
    asset: Annotated[
        Path,
        typer.Argument(
            metavar="ASSET|RUN", help="A file of Gaussians or of a mesh, or a run, also one in progress."
        ),
    ],
    beside: Annotated[
        Path | None, typer.Argument(metavar="[ASSET|RUN]", help="Another one to show beside it.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = HERE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port; the next free one is taken.")] = 8080,
    up: Annotated[str | None, typer.Option(help=inputs.UP_HELP)] = None,
) -> None:
    """Look at one or two assets in the browser until Ctrl-C; prints the address. Needs sctd[view]."""
    need_viser("sctd view")
    axis = inputs.up_axis(up)
    sources = [path for path in (asset, beside) if path is not None]
    for path in sources:
        if not path.exists():
            raise InputError(
                f"{path} does not exist; give a file of Gaussians or of a mesh, or the folder of a run"
            )

    from sctd.formats.axes import Up
    from sctd.viewer.serve import serve

    say = partial(typer.echo, err=True)

    def opened(viewer: Viewer) -> None:
        if host == HERE:
            say(f"listening at {HERE}, this machine alone; Ctrl-C ends")
        else:
            say(f"listening at {host}: whoever reaches it sees this and can stop the run; Ctrl-C ends")
        typer.echo(viewer.url)

    try:
        serve(sources, host, port, up=cast("Up | None", axis), say=say, opened=opened)
    except KeyboardInterrupt:
        say("the viewer is closed")


class WithViewer:
    """A run's reporter that opens a viewer, in its own process, when the run begins."""

    def __init__(self, report: Reporter, folder: Path) -> None:
        self._report, self._folder = report, folder
        self._viewer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WithViewer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._viewer is not None:
            self._viewer.terminate()
            self._viewer.wait()

    def start(self, total: int, start_iteration: int) -> None:
        if self._viewer is None:  # every stage of a run starts
            self._open()
        self._report.start(total, start_iteration)

    def _open(self) -> None:
        # In its own session: Ctrl-C must reach only the run, which then saves a checkpoint.
        call = "from sctd_cli.main import main; main()"
        command = [sys.executable, "-c", call, "view", "--", str(self._folder)]
        self._viewer = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        self._report.update(iteration, scalars)

    def saved(self) -> None:
        self._report.saved()

    def stage(self, name: str) -> None:
        self._report.stage(name)

    def message(self, text: str) -> None:
        self._report.message(text)

    def finish(self) -> None:
        self._report.finish()

    def wait(self) -> None:
        """After a run: keep the viewer until the person closes it."""
        if self._viewer is not None and self._viewer.poll() is None:
            self.message("the viewer stays open; Ctrl-C ends it")
            with suppress(KeyboardInterrupt):
                self._viewer.wait()
