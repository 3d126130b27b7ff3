"""Names of folders made of what a person typed."""

from __future__ import annotations

import re
import unicodedata
import zlib


def slug(prompt: str) -> str:
    """A folder name made of a-z, 0-9 and single hyphens, at most 48 characters, never empty: no paths."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return words or f"prompt-{zlib.crc32(prompt.encode('utf-8', 'surrogatepass')):08x}"
