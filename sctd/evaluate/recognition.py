"""Shows a finished asset of the embedded world to the recogniser: a smoke test, not a measure.

The recogniser names even a smeared object; benchmarks/quality.py measures shape and views against the
procedural truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sctd.config.prior import EMBEDDED
from sctd.errors import InputError

VIEWS = 8


@dataclass(frozen=True)
class Recognition:
    """The recogniser's names for views all round an asset."""

    wanted: str
    """The subject of the prompt, in words."""
    named: dict[str, tuple[str, ...]]
    """kind, and colour where one is asked for => the recogniser's name in each view."""
    right: dict[str, int]
    """Views with the right name."""

    def passes(self, share: float) -> bool:
        """Whether kind and colour are right in at least ``share`` (0..1) of the views."""
        return min(self.right.values()) >= share * VIEWS


def weights_of(prior: str) -> Path | None:
    """The folder of the embedded weights that are the prior of this name; None for other priors."""
    from sctd.embedded.weights import FOLDER
    from sctd.embedded.world import world_on_card

    if prior == EMBEDDED:
        return FOLDER
    folder = Path(prior)
    return None if world_on_card(folder) is None else folder


def recognise_run(folder: Path) -> Recognition:
    """Show the recogniser a run's asset from eight sides, on a light grey background as in its training.

    Args:
        folder: a finished run of embedded weights (config.yaml and its asset).

    Raises:
        InputError: the folder holds no finished run, its prior is no embedded one, or has no recogniser.
    """
    from sctd.cameras import orbit_cameras
    from sctd.embedded.named import Named
    from sctd.embedded.recogniser import load_recogniser
    from sctd.embedded.world import world_of
    from sctd.formats.assets import read_asset
    from sctd.render import render_images
    from sctd.run.folder import asset_of, read_config

    config = read_config(folder)
    weights = weights_of(config.prior.name)
    if weights is None:
        raise InputError(
            f"the prior of the run in {folder} is {config.prior.name}; the recogniser knows the worlds of "
            "embedded priors alone; `sctd evaluate --clip FOLDER` scores other runs"
        )
    subject = world_of(weights).check_prompt(config.prompt)
    asset = asset_of(folder)
    if asset is None:
        raise InputError(f"the run in {folder} is not finished: it has no asset; continue with --resume")
    recogniser = load_recogniser(weights)
    cameras = orbit_cameras(VIEWS, config.output.elevation_deg, config.output.radius, 40.0, 64)
    images = render_images(read_asset(asset), cameras, (0.9, 0.9, 0.9)).permute(0, 3, 1, 2) / 255.0
    seen = Named(subject, images, recogniser)
    asked = {name: head for name, head in (("kind", "kind"), ("colour", "color")) if seen.asks(head)}
    return Recognition(
        str(subject),
        {name: seen.names(head) for name, head in asked.items()},
        {name: seen.right(head) for name, head in asked.items()},
    )
