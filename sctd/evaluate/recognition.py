"""Shows a finished asset of the embedded world to the recogniser: a smoke test, not a measure.

The recogniser names even a smeared object; benchmarks/quality.py measures shape and views against the
procedural truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sctd.errors import InputError

VIEWS = 8


@dataclass(frozen=True)
class Recognition:
    """The recogniser's names for views all round an asset."""

    wanted: str
    """The subject of the prompt, in words."""
    kinds: tuple[str, ...]
    """The recognised kind of each view."""
    colors: tuple[str, ...]
    right_kinds: int
    right_colors: int

    def passes(self, share: float) -> bool:
        """Whether kind and colour are right in at least ``share`` (0..1) of the views."""
        return min(self.right_kinds, self.right_colors) >= share * len(self.kinds)


def recognise_run(folder: Path) -> Recognition:
    """Show the recogniser a run's asset from eight sides, on a light grey background as in its training.

    Args:
        folder: a finished run of the embedded prior (config.yaml and its asset).

    Raises:
        InputError: the folder holds no finished run, or its prompt is not of the embedded world.
    """
    from sctd.cameras import orbit_cameras
    from sctd.embedded.recogniser import recognise
    from sctd.embedded.world import world_of
    from sctd.formats.assets import read_asset
    from sctd.render import render_images
    from sctd.run.folder import asset_of, read_config

    config = read_config(folder)
    subject = world_of().check_prompt(config.prompt)
    asset = asset_of(folder)
    if asset is None:
        raise InputError(f"the run in {folder} is not finished: it has no asset; continue with --resume")
    cameras = orbit_cameras(VIEWS, config.output.elevation_deg, config.output.radius, 40.0, 64)
    images = render_images(read_asset(asset), cameras, (0.9, 0.9, 0.9)).permute(0, 3, 1, 2) / 255.0
    verdicts = recognise(images)
    return Recognition(
        str(subject),
        tuple(verdict.kind for verdict in verdicts),
        tuple(verdict.color for verdict in verdicts),
        sum(verdict.kind == subject.kind for verdict in verdicts),
        sum(verdict.color == subject.color for verdict in verdicts),
    )
