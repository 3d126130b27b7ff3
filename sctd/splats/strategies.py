"""The table of strategies of densification."""

from __future__ import annotations

from collections.abc import Mapping

from sctd.config.asset import DensifySettings
from sctd.splats.densify import Still, Strategy
from sctd.splats.optim import GaussianAdam
from sctd.splats.original import Original
from sctd.splats.relocate import Relocate

STRATEGIES: Mapping[str, type[Strategy]] = {"relocate": Relocate, "original": Original, "none": Still}
"""Strategies by the name in ``densify.strategy``."""


def strategy_for(settings: DensifySettings, optimiser: GaussianAdam, iterations: int) -> Strategy:
    """The strategy of the settings, for a run of so many iterations."""
    return STRATEGIES[settings.strategy](settings, optimiser, iterations)
