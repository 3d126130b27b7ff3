"""The result of a command line, and the files that it left in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CALL = "from sctd_cli.main import main; main()"
"""For `python -c`: the console script, wherever it is installed."""


@dataclass(frozen=True)
class Outcome:
    """Exit code and output."""

    code: int
    out: str
    err: str

    def error_line(self) -> str:
        """The one line that a refused input must give, with everything else about it checked."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert not lines[0].startswith("error: unexpected")  # the message of a bug
        assert "Traceback" not in self.err
        return lines[0]


def tree(folder: Path) -> Sequence[str]:
    """Everything in a folder, relative, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
