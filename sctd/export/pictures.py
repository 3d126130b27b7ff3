"""Checks pictures for video and contact sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sctd.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def as_pictures(images: Any) -> NDArray[np.uint8]:
    """Check a stack of pictures: an array or CPU tensor, uint8, [n, H, W, 3], n, H, W >= 1.

    Raises:
        InputError: shape or dtype differ; the message names both.
    """
    import numpy as np

    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(
            "pictures must be uint8 of shape [n, H, W, 3], n >= 1; "
            f"got {array.dtype} of shape {list(array.shape)}"
        )
    return np.ascontiguousarray(array)
