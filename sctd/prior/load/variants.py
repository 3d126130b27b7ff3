"""The sets of weights in a network's folder: plain, or variants such as fp16, each whole or in shards.

Names, as diffusers and transformers write them: diffusion_pytorch_model.safetensors, model.fp16.safetensors,
diffusion_pytorch_model-00001-of-00002.safetensors, model.fp16-00001-of-00002.safetensors, and the older
model-00001-of-00002.fp16.safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sctd.errors import InputError

PLAIN = ""
"""The name of the set without a variant."""

_NAME = re.compile(
    r"(?:diffusion_pytorch_model|model)(?P<before>-\d+-of-\d+)?(?:\.(?P<variant>[^.]+?))?(?P<after>-\d+-of-\d+)?"
    r"\.safetensors"
)
_ORDER = (PLAIN, "fp16", "bf16", "fp32", "ema")
_SHARD = re.compile(r"-(\d+)-of-(\d+)")


def sets_of(names: Iterable[str]) -> Mapping[str, list[str]]:
    """Variant => its files, sorted, of the names of a folder's files; others are left out."""
    sets: dict[str, list[str]] = {}
    for name in sorted(names):
        if found := _NAME.fullmatch(name):
            sets.setdefault(found["variant"] or PLAIN, []).append(name)
    return sets


def chosen(names: Iterable[str], *, first: str = PLAIN) -> str | None:
    """The set to read: the plain one, else fp16, bf16, fp32 or ema, else the only one; None: there is none.

    Args:
        first: the set that is better than the plain one.

    Raises:
        InputError: several others are there and none of these.
    """
    sets = sets_of(names)
    for variant in (first, *_ORDER):
        if variant in sets:
            return variant
    if len(sets) > 1:
        raise InputError(f"it has the weights {' and '.join(sets)} and no plain ones; keep one of them")
    return next(iter(sets), None)


def missing_shards(files: Iterable[str]) -> list[str]:
    """Which pieces of a set are not there, as "2 of 16"."""
    pieces = [tuple(map(int, found.groups())) for name in files if (found := _SHARD.search(name))]
    count = max((of for _, of in pieces), default=0)
    there = {number for number, _ in pieces}
    return [f"{number} of {count}" for number in range(1, count + 1) if number not in there]
