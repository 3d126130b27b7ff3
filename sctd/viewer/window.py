"""Files by which a run in progress and a viewer in another process communicate.

In the run's folder, only while there is a viewer:

    .view/.lock              held by the viewer; the lock ends with it (`sctd/run/claims.py`)
    .view/wish.json          the viewer's requests: {"pause": false, "stop": false}
    .view/now.safetensors    recent Gaussians, or a recent mesh, written by the run

A run without a viewer checks for one twice a second. With one it spends at most a hundredth of its time on
it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Surface, Triangles
from sctd.formats.srgb import srgb_to_linear
from sctd.gaussians import Gaussians
from sctd.machine.transfer import Readback
from sctd.run.claims import is_held

VIEW, WISH, NOW = ".view", "wish.json", "now.safetensors"
LOOK_S = 0.5
"""Seconds between two checks for a viewer and its requests, and at least between two writes for it."""
SHARE = 0.01
"""Share of a run's time for its viewer."""


@dataclass(frozen=True)
class Wish:
    """A viewer's requests to a run."""

    pause: bool = False
    stop: bool = False

    def to_json(self) -> bytes:
        """The JSON that :func:`read_wish` reads."""
        return json.dumps(asdict(self)).encode()


def read_wish(place: Path) -> Wish:
    """The requests in a folder; none if the file cannot be read."""
    try:
        said = json.loads((place / WISH).read_bytes())
        return Wish(pause=said["pause"] is True, stop=said["stop"] is True)
    except (OSError, ValueError, KeyError, TypeError):
        return Wish()


class Window:
    """The run's side, during its loop. Only the loop calls it."""

    def __init__(self, folder: Path, *, obeys: bool = True) -> None:
        """A window without a viewer yet.

        Args:
            folder: of the run.
            obeys: whether a viewer may pause and stop the run; not in a batch, whose neighbours would wait.
        """
        self._place = folder / VIEW
        self._obeys = obeys
        self._wish = Wish()
        self._look_at = self._show_at = 0.0
        self._asked: tuple[int, Readback] | None = None
        self._cost = 0.0

    @property
    def wants_stop(self) -> bool:
        """Whether the viewer wants the run to save a checkpoint and end."""
        return self._wish.stop

    def show(self, iteration: int, seen: Callable[[], Mapping[str, Tensor]]) -> None:
        """Called after each launch; at intervals copies what there is, and writes it at the next call.

        Args:
            iteration: number of iterations done.
            seen: as :meth:`sctd.representation.Representation.seen`; called only if there is a viewer.
        """
        if self._asked is not None:
            self._write()
        now = time.perf_counter()
        if now < self._look_at or not self._look():
            return
        if now >= self._show_at:
            # A copy, as the next iteration changes it in place; from a GPU without waiting for it.
            copies = {name: t.clone(memory_format=torch.contiguous_format) for name, t in seen().items()}
            self._asked = iteration, Readback(copies)
            self._cost = time.perf_counter() - now

    def pause(self, over: Callable[[], bool]) -> float:
        """Wait as long as the viewer pauses the run, or until ``over``; returns the seconds waited."""
        if not self._wish.pause:
            return 0.0
        if self._asked is not None:
            self._write()
        began = time.perf_counter()
        while self._wish.pause and not self._wish.stop and not over():
            time.sleep(0.05)
            self._look()
        return time.perf_counter() - began

    def close(self) -> None:
        """Remove the files of a killed viewer."""
        if not is_held(self._place):
            remove(self._place)

    def _look(self) -> bool:
        """Whether there is a viewer; reads its requests."""
        self._look_at = time.perf_counter() + LOOK_S
        seen = is_held(self._place)
        self._wish = read_wish(self._place) if seen and self._obeys else Wish()
        return seen

    def _write(self) -> None:
        assert self._asked is not None
        (iteration, copies), self._asked = self._asked, None
        began = time.perf_counter()
        facts = {"iteration": str(iteration), "obeys": json.dumps(self._obeys)}
        temporary = self._place / f".{NOW}.{os.getpid()}.tmp"
        try:
            # No fsync: a power cut would only lose a momentary state.
            safetensors.torch.save_file(copies.get(), str(temporary), metadata=facts)
            os.replace(temporary, self._place / NOW)
        except (OSError, safetensors.SafetensorError):  # the viewer has gone, or the disk is full
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        now = time.perf_counter()
        self._show_at = now + max(LOOK_S, (self._cost + now - began) / SHARE)


@dataclass(frozen=True)
class Moment:
    """The state that a run shows."""

    iteration: int
    asset: Asset
    obeys: bool
    """Whether the run can be paused and stopped."""


def read_moment(place: Path) -> Moment | None:
    """The state that a run showed last; None: none yet, or a mesh without triangles."""
    try:
        with safetensors.safe_open(str(place / NOW), framework="pt") as file:
            facts = file.metadata()
            asset = asset_seen({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return None
    if asset is None:
        return None
    return Moment(int(facts["iteration"]), asset, json.loads(facts["obeys"]) is True)


def asset_seen(seen: Mapping[str, Tensor]) -> Asset | None:
    """What :meth:`sctd.representation.Representation.seen` tells of; None: a mesh without triangles."""
    if "faces" not in seen:
        return Gaussians.from_state_dict({name: t.to(torch.float32) for name, t in seen.items()})
    if not len(seen["faces"]):
        return None
    vertices, colors = seen["vertices"].double(), srgb_to_linear(seen["colors"].double())
    return Triangles((Surface(vertices, seen["faces"].long(), colors),))


def remove(place: Path) -> None:
    """Remove the files of a window, and its folder if nothing else is in it."""
    if not place.is_dir():
        return
    for path in place.iterdir():
        if path.name in (WISH, NOW, ".lock") or path.name.startswith((f".{NOW}.", f".{WISH}.")):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):
        place.rmdir()
