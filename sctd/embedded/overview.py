"""A picture of every kind that an embedded prior knows."""

from __future__ import annotations

import random
from pathlib import Path

from sctd.embedded.sample import sample_images, save_grid
from sctd.embedded.weights import FOLDER
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS
from sctd.embedded.world import world_of

COLUMNS = 4
"""Kinds beside each other."""


def overview(path: Path, folder: Path = FOLDER, seed: int = 0) -> None:
    """A grid picture: COLUMNS kinds a row, each from all of VIEW_NAMES, said in words."""
    subjects = world_of(folder).each_kind(random.Random(seed))
    texts = [f"{subject}, {VIEW_WORDS[view][0]}" for subject in subjects for view in VIEW_NAMES]
    save_grid(sample_images(texts, seed, folder=folder), path, COLUMNS * len(VIEW_NAMES))
