"""A batch small enough for a test, of every method, and a child process of it that can be killed.

As a script: night.py PLACE [IN_FLIGHT] begins the batch in a folder or at a URL, or resumes it, and prints a
line an iteration.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from sctd.batch.entry import Entry, Outcome
from sctd.batch.manifest import Manifest
from sctd.batch.remote import Url
from sctd.batch.run import carry_on
from sctd.batch.store import Folder, Store, store_at
from sctd.config import load_config
from sctd.prior.base import Prior
from sctd.run.folder import LOG, read_log
from sctd.run.report import Silent

SMALL = (
    "cameras.size=32",
    "gaussians.count=60",
    "densify.every=3",
    "densify.start=2",
    "densify.rest=0",
    "densify.dead_opacity=0.09",
    "output.checkpoint_every=2",
    "output.size=32",
    "output.turntable_frames=0",
    "output.contact_views=2",
)


def entry(name: str, method: str, *overrides: str, prompt: str = "a red ball", iterations: int = 6) -> Entry:
    """An asset of the embedded prior; the seed comes from the name, so that each has its own."""
    seed = sum(name.encode())
    config = load_config(
        prompt=prompt, seed=seed, method=method, iterations=iterations, overrides=(*SMALL, *overrides)
    )
    return Entry(name, config)


def entries(prior: str = "analytic", iterations: int = 12) -> list[Entry]:
    """Three assets that differ in method, number of cameras and length."""
    of = f"prior={prior}"
    return [
        entry("one", "sctd", of, "cameras.batch=2", iterations=iterations),
        entry("two", "sds", of, "cameras.batch=2", iterations=iterations - 2),
        entry("three", "cds", of, "cameras.batch=3", prompt="a blue box", iterations=iterations),
    ]


def begun(url: str) -> Url:
    """A new batch of these assets at a URL."""
    store = store_at(url)
    assert isinstance(store, Url)
    store.create(entries())
    return store


def states(store: Store) -> dict[str, str]:
    """State of each asset by name, as the manifest has it."""
    with store.reading() as folder, closing(Manifest(folder)) as manifest:
        return {asset.name: asset.state for asset in manifest.assets()}


class Lines(Silent):
    """Says each iteration on stdout, so that a parent process can time a kill, and keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """One line an iteration."""
        print(iteration, flush=True)

    def message(self, text: str) -> None:
        """Kept."""
        self.messages.append(text)


def finish(place: Path | Store, in_flight: int = 2, retries: int = 1) -> tuple[dict[str, Outcome], list[str]]:
    """Resume a batch; returns its outcomes by name, and the messages."""
    report = Lines()
    store = Folder(place) if isinstance(place, Path) else place
    outcomes = {
        outcome.name: outcome for outcome, _ in carry_on(store, report, in_flight=in_flight, retries=retries)
    }
    return outcomes, report.messages


def alone(folder: Path, entry: Entry, prior: Prior | None = None) -> Any:
    """The same asset as sctd generate makes it."""
    from sctd.pipeline import generate

    return generate(entry.config, folder / entry.name, prior=prior)


def assert_same_runs(one: Path, other: Path) -> None:
    """Every bit, but for the times in the log."""
    for file in ("asset.ply", "contact.png", "config.yaml"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), (one.name, file)
    logs = [read_log(folder / LOG) for folder in (one, other)]
    first, second = ([{k: v for k, v in row.items() if k != "seconds"} for row in log] for log in logs)
    assert first == second


def kill_after(place: Path | str, lines: int) -> None:
    """Run the batch in a process of its own and SIGKILL it after so many iterations."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, __file__, str(place), "2"], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline(), "the child ended by itself"
        child.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    place = store_at(sys.argv[1])
    if not place.exists():
        place.create(entries())
    finish(place, *map(int, sys.argv[2:]))
