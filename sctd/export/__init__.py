"""Step 9 of 9: what a person takes away: a splat file, a turntable video, a sheet of views."""

from __future__ import annotations
