"""A run of the preset sd21 that is shorter than the released one, with its own schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cli_outcome import Outcome

from sctd.formats.table import read_gaussians

# The preset's iterations, of one small picture and few Gaussians; the prior has a known answer.
SMALL = (
    *("--prior", "analytic", "--device", "cpu", "--preset", "sd21", "--steps", "1500"),
    *("--set", "cameras.size=16", "--set", "cameras.batch=1", "--set", "gaussians.init=ball"),
    *("--set", "gaussians.count=300", "--set", "densify.max_count=1000"),
    *("--set", "output.turntable_frames=0", "--set", "output.contact_views=0"),
)


def test_a_short_run_ends_with_gaussians_that_can_be_seen(sctd: Callable[..., Outcome], here: Path) -> None:
    """1500 is a multiple of `densify.reset_every`: with a reset at the end no opacity would exceed 0.01.

    Of the presets' two guards, `pace` and `densify.reset_rest`, one would do.
    """
    done = sctd("generate", "a red ball", *SMALL, "--out", "run")
    assert done.code == 0, done.err
    opacities = read_gaussians(here / "run" / "asset.ply").opacities.sigmoid()
    assert float(opacities.mean()) > 0.1
    assert float((opacities > 0.5).float().mean()) > 0.05
