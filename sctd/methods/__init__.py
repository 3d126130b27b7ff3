"""Step 7 of 9: distillation methods, each from (prior, latents, texts) to a gradient of the latents.

Which there are: :mod:`sctd.registry`. Importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sctd.registry import METHODS, check, maker_of

if TYPE_CHECKING:
    from sctd.methods.base import MethodFactory

__all__ = ["BUILT", "get"]

BUILT = tuple(METHODS)


def get(name: str) -> MethodFactory:
    """The method's constructor: ``get(name)(prior, texts, settings, iterations=..., seed=...)``.

    Raises:
        InputError: as :func:`sctd.registry.check`.
    """
    check(name)
    factory: MethodFactory = maker_of(name)
    return factory
