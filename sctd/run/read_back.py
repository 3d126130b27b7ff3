"""Reads run folders: settings, log, and the cost of the run. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sctd.config import Config
from sctd.errors import InputError
from sctd.run.folder import CONFIG, LOG, asset_of, read_config, read_log

SCTD_EVALUATIONS = 5
"""Network evaluations of SCTD, each camera and iteration, for older logs without a count."""

LogRow = dict[str, float | str | None]


@dataclass(frozen=True)
class Run:
    """A run that has logged at least one iteration."""

    folder: Path
    config: Config
    rows: list[LogRow]

    @property
    def name(self) -> str:
        """The folder's name, which pictures and tables show."""
        return self.folder.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the run has completed every iteration and written the asset."""
        return is_finished(self.folder, self.config, self.rows)

    @property
    def seconds(self) -> float | None:
        """Time of the loop in all processes of the run."""
        return _number(self.rows[-1].get("seconds"))

    @property
    def gaussians(self) -> int | None:
        """Number of Gaussians after the last logged iteration."""
        count = _number(self.rows[-1].get("gaussians"))
        return None if count is None else int(count)

    @property
    def evaluations(self) -> int | None:
        """Images that went through the network; None where the method does not log them.

        A skipped iteration counts, since it was computed. SCTD without the scalar: SCTD_EVALUATIONS a camera.
        """
        counts = [evaluations_of(row, self.config) for row in self.rows]
        return None if None in counts else round(sum(c for c in counts if c is not None))

    def series(self, key: str) -> tuple[list[int], list[float]]:
        """Iterations that logged a scalar, and its values."""
        pairs = [(int(row["iteration"] or 0), _number(row.get(key))) for row in self.rows]
        there = [(i, value) for i, value in pairs if value is not None]
        return [i for i, _ in there], [value for _, value in there]


def evaluations_of(scalars: Mapping[str, float | str | None], config: Config) -> float | None:
    """Network evaluations by the scalars of one iteration; None if they lack the number."""
    told = _number(scalars.get("evaluations"))
    if told is None and config.method == "sctd":
        return float(SCTD_EVALUATIONS * config.cameras.batch)
    return told


def is_finished(folder: Path, config: Config, rows: Sequence[LogRow]) -> bool:
    """Whether a run's log has the last iteration and its folder the asset."""
    done = bool(rows) and rows[-1]["iteration"] == config.iterations - 1
    return done and asset_of(folder) is not None


def find_runs(places: Iterable[Path]) -> list[Path]:
    """Run folders among the given folders and below them, each once, in order.

    Raises:
        InputError: a given folder holds none.
    """
    found: dict[Path, None] = {}
    for place in places:
        inside = [place] if (place / CONFIG).is_file() else sorted(p.parent for p in place.rglob(CONFIG))
        if not inside:
            what = "holds no run" if place.is_dir() else "is no folder"
            raise InputError(f"{place} {what} (a folder with {CONFIG}); give the folders of `sctd generate`")
        found |= dict.fromkeys(inside)
    return list(found)


def find_results(places: Iterable[Path]) -> list[Path]:
    """The runs of :func:`find_runs`; a file in a run's folder, such as its mesh.glb, stands for itself.

    Raises:
        InputError: a folder holds no run, or a file is in none.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_file():
            found |= dict.fromkeys(find_runs([place]))
        elif (place.parent / CONFIG).is_file():
            found[place] = None
        else:
            raise InputError(
                f"{place} is in no run folder (one with {CONFIG}), so there is no prompt to score it with; "
                "give a run, or a mesh in one"
            )
    return list(found)


def read_run(folder: Path) -> Run:
    """A run with its log.

    Raises:
        InputError: the folder holds no run, or one that has logged nothing yet.
    """
    config = read_config(folder)
    rows = read_log(folder / LOG) if (folder / LOG).is_file() else []
    if not rows:
        raise InputError(f"the run in {folder} has logged no iteration yet ({LOG}); let it run first")
    return Run(folder, config, rows)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
