"""Step 9 of 9: an asset on a screen: a self-contained web page (`page.py`), a live viewer (`serve.py`)."""

from __future__ import annotations
