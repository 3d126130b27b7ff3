"""The settings of a run: each section has a file, run.py the whole, load.py reads them. Loads no torch."""

from __future__ import annotations

from sctd.config.load import (
    CARDS_FOLDER,
    PRESETS_FOLDER,
    card_names,
    config_of,
    load_config,
    load_tree,
    preset_names,
    stages_names,
    with_absolute_paths,
)
from sctd.config.run import PHASES, Config, build_config, differences

__all__ = [
    "CARDS_FOLDER",
    "PHASES",
    "PRESETS_FOLDER",
    "Config",
    "build_config",
    "card_names",
    "config_of",
    "differences",
    "load_config",
    "load_tree",
    "preset_names",
    "stages_names",
    "with_absolute_paths",
]
