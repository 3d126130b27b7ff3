"""Step 7 of 9: distillation methods, each from (prior, latents, texts) to a gradient of the latents.

Importing this package loads no torch: :mod:`sctd.methods.settings` is read by the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sctd.errors import InputError

if TYPE_CHECKING:
    from sctd.methods.base import MethodFactory

BUILT = ("sctd", "sds", "csd", "cds", "ism", "gcs")


def check(name: str) -> str:
    """The name itself when that method exists; reads no torch.

    Raises:
        InputError: the method is unknown; the message says which exist.
    """
    if name in BUILT:
        return name
    raise InputError(f"method {name!r} is unknown; available: {', '.join(BUILT)}")


def get(name: str) -> MethodFactory:
    """The method's constructor: ``get(name)(prior, texts, settings, iterations=..., seed=...)``.

    Raises:
        InputError: as :func:`check`.
    """
    check(name)
    module = importlib.import_module(f"sctd.methods.{name}")
    factory: MethodFactory = getattr(module, name.capitalize())
    return factory
