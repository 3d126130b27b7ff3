"""What the header of a textual inversion's file says: the word, and whether it fits at all. No torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from sctd.errors import InputError
from sctd.prior.load.headers import Entry

# Keys that are no word: A1111's, and the placeholder of the files that it read before.
_NAMELESS = re.compile(r"emb_params|\*|string_to_param(\..*)?")
_SDXL = {"clip_l", "clip_g"}


def key_of(header: Mapping[str, Entry], file: str, word: str | None) -> tuple[str, str]:
    """The tensor that holds the vectors, and their word. No weight is read.

    Args:
        word: the user's; None: the one that the file names.

    Raises:
        InputError: the file is for Stable Diffusion XL, has another number of tensors, or no word.
    """
    if _SDXL & header.keys():
        raise InputError(
            f"textual inversion {file} does not fit: it is for Stable Diffusion XL "
            f"(it has {', '.join(sorted(_SDXL & header.keys()))}); use one made for the prior"
        )
    if len(header) != 1:
        raise InputError(
            f"textual inversion {file} holds {len(header)} tensors instead of one word's vectors; "
            "give a file of one word"
        )
    (key,) = header
    if word is None and _NAMELESS.fullmatch(key):
        raise InputError(f"textual inversion {file} does not name its word; give it as {file}:WORD")
    text = unicodedata.normalize("NFC", key if word is None else word).strip()
    if not text or not text.isprintable():
        raise InputError(f"textual inversion {file}: {text!r} is no word; give one as {file}:WORD")
    return key, text
