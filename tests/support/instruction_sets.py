"""The instruction sets that this processor's code can be lowered to."""

from __future__ import annotations

from sctd import _native
from sctd.machine.environment import INSTRUCTION_SETS

LOWERED = INSTRUCTION_SETS[: INSTRUCTION_SETS.index(_native.isa())] or INSTRUCTION_SETS[:1]
"""Least first; the least processor is compared with itself, so that no test is without one."""
