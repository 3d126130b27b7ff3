"""The sha256 of asset.ply for three prompts by generate, by stop and resume, and by batch.

    python tools/same_assets.py > before.txt      # at the commit before a change
    python tools/same_assets.py | diff before.txt -

A change that is meant to keep the bits keeps every line: CONTRIBUTING.md. The three ways must agree with one
another in any case, else this fails. Settings can be added as KEY=VALUE, such as densify.strategy=original.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sctd.batch.entry import Entry
from sctd.batch.store import store_at
from sctd.batch.worker import work
from sctd.config import Config, load_config
from sctd.pipeline import generate
from sctd.prior import load_prior

PROMPTS = ("a red mushroom", "a blue chair", "a yellow car")
STEPS, STOP_AFTER = 12, 5
SETTINGS = (
    "densify.every=4",
    "densify.start=4",
    "densify.rest=2",
    "output.turntable_frames=0",
    "output.contact_views=0",
    "output.page=false",
    "device=cpu",
)


class Quiet:
    """The batch's monitor."""

    def at(self, name: str, iteration: int) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """To the terminal."""
        print(text, file=sys.stderr)

    def tick(self) -> None:
        """Nothing."""


def main(settings: list[str]) -> int:
    """Print a line a prompt and way; 1 where two ways differ."""
    torch.set_num_threads(1)
    configs = [
        load_config(overrides=[*SETTINGS, *settings], prompt=prompt, iterations=STEPS) for prompt in PROMPTS
    ]
    prior = load_prior(configs[0].prior)
    made: dict[str, list[str]] = {}
    with TemporaryDirectory() as place:
        out = Path(place)

        def resumed(config: Config, folder: Path) -> Path:
            asked = count()
            with suppress(KeyboardInterrupt):
                generate(config, folder, prior=prior, stop=lambda: next(asked) >= STOP_AFTER)
            return generate(config, folder, prior=prior, resume=True).asset_ply

        def once(config: Config, folder: Path) -> Path:
            return generate(config, folder, prior=prior).asset_ply

        for way, make in (("generate", once), ("resume", resumed)):
            files = [make(config, out / f"{way}{k}") for k, config in enumerate(configs)]
            made[way] = [_digest(path) for path in files]
        entries = [Entry(f"asset{k}", config) for k, config in enumerate(configs)]
        store, left = store_at(str(out / "batch"), None), iter(entries)
        list(work(lambda: next(left, None), prior, store, len(entries), Quiet(), stop=lambda: False))
        made["batch"] = [_digest(out / "batch" / entry.name / "asset.ply") for entry in entries]
    for way, digests in made.items():
        for prompt, digest in zip(PROMPTS, digests, strict=True):
            print(f"{digest}  {way:8}  {prompt}")
    return int(len({tuple(digests) for digests in made.values()}) > 1)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
