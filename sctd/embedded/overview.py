"""A picture of every kind that an embedded prior knows."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from sctd.embedded.sample import sample_images, save_grid
from sctd.embedded.subject import Subject
from sctd.embedded.weights import FOLDER
from sctd.embedded.words import VIEW_NAMES, VIEW_WORDS
from sctd.embedded.world import World, world_of

COLUMNS = 4
"""Kinds beside each other."""


def each_kind(world: World, seed: int = 0) -> list[Subject]:
    """A random subject of every kind, in the order of the world's recogniser."""
    kinds = world.questions.heads["kind"].names
    found: dict[str, Subject] = {}
    for more in count():
        for subject, *_ in world.samples(len(kinds), seed + more):
            found.setdefault(subject.kind, subject)
        if len(found) == len(kinds):
            break
    return [found[kind] for kind in kinds]


def overview(path: Path, folder: Path = FOLDER, seed: int = 0) -> list[str]:
    """A grid picture: COLUMNS subjects of :func:`each_kind` a row, each from VIEW_NAMES, said in words.

    Returns:
        The subjects, in words.
    """
    subjects = [str(subject) for subject in each_kind(world_of(folder), seed)]
    views = [VIEW_WORDS[view][0] for view in VIEW_NAMES]
    images = sample_images([f"{text}, {view}" for text in subjects for view in views], seed, folder=folder)
    save_grid(images, path, COLUMNS * len(views))
    return subjects
