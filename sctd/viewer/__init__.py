"""Step 9 of 9: an asset on a screen: one self-contained web page (`page.py`)."""

from __future__ import annotations
