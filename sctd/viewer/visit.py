"""The viewer's side of a run: its present state, finished or in progress, and requests to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.assets import Asset, read_asset
from sctd.mesh.trained.colored import at_vertices
from sctd.mesh.trained.trained import TrainedMesh
from sctd.run.checkpoint import Checkpoint, latest, write_atomically
from sctd.run.claims import Claim, is_held
from sctd.run.folder import ASSET, CHECKPOINTS, CONFIG, LOG, asset_of, read_config
from sctd.viewer.window import NOW, VIEW, WISH, Wish, asset_seen, read_moment, remove

_TAIL = 4096
"""Bytes at the end of a log that hold its last line."""


@dataclass(frozen=True)
class Seen:
    """A run at one moment."""

    asset: Asset
    says: str
    """Its state, in words."""
    running: bool
    obeys: bool = False
    """Whether it can be paused and stopped."""


class Visit:
    """The only viewer of a run."""

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        """Open a run for viewing.

        Args:
            say: gets one line for each message about reading files.

        Raises:
            InputError: it is not the folder of a run.
            Held: another viewer is there already.
        """
        if not (run / CONFIG).is_file():
            raise InputError(
                f"{run} is not the folder of a run (no {CONFIG}); give one, or a file of Gaussians or a mesh"
            )
        self.run, self._say = run, say
        self._place = run / VIEW
        self._stack = ExitStack()
        self._version: object = None
        if is_held(run):
            self._stack.enter_context(Claim(self._place))
            self.want(Wish())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        if self._place.is_dir():
            (self._place / WISH).unlink(missing_ok=True)
        self._stack.close()
        if not is_held(self._place):
            remove(self._place)

    def want(self, wish: Wish) -> None:
        """Send the run a request."""
        write_atomically(self._place / WISH, wish.to_json())

    def news(self) -> Seen | None:
        """The run now; None: unchanged since the last call."""
        running = is_held(self.run)
        # What it has made: the asset at the end, else what the run shows a viewer, else a checkpoint.
        asset = asset_of(self.run)
        paths = (asset or self.run / ASSET, self._place / NOW, self.run / CHECKPOINTS)
        version = running, *(_stamp(path) for path in paths), _stamp(self.run / LOG)
        if version == self._version:
            return None
        if not running and self._place.is_dir():
            self.want(Wish())  # so that a run that is resumed later does not stop again
        self._version = version
        moment = read_moment(self._place) if running else None
        if moment is not None:
            return Seen(moment.asset, f"{moment.iteration} iterations done", running, moment.obeys)
        if not running and asset is not None:
            return Seen(read_asset(asset, say=self._say), "finished", running)
        found, problems = latest(self.run / CHECKPOINTS)
        for problem in problems:
            self._say(f"ignored a checkpoint: {problem}")
        kept = None if found is None else asset_seen(self._seen_in(found))
        if found is None or kept is None:
            return None
        return Seen(kept, f"checkpoint after {found.iteration} iterations", running)

    @torch.no_grad()
    def _seen_in(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """What a viewer would have been shown then."""
        if "gaussians" in checkpoint.tensors:
            return checkpoint.tensors["gaussians"]
        part = read_config(self.run).parts()[checkpoint.counters.get("stage", 0)]
        mesh = TrainedMesh.first_of(checkpoint.tensors, part)
        return at_vertices(mesh.surface().shape(), mesh.colors)

    def losses(self) -> dict[str, float]:
        """The numbers of the last line of its log."""
        try:
            with (self.run / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                lines = file.read().splitlines()
        except OSError:
            return {}
        for line in reversed(lines):
            try:
                row = json.loads(line)
            except ValueError:  # half a line: cut off at the front, or being written
                continue
            return {key: float(value) for key, value in row.items() if isinstance(value, (int, float))}
        return {}


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
