"""Shared by the tests of the benchmarks: rows, the command line, threads put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sctd import ops
from sctd.bench.report import Row
from sctd_cli.main import run


@pytest.fixture(autouse=True)
def _state_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # the command sets it where it is not set
    torch_threads, native_threads = torch.get_num_threads(), ops.get_num_threads()
    yield
    torch.set_num_threads(torch_threads)
    ops.set_num_threads(native_threads)


@dataclass(frozen=True)
class Answer:
    """What a command line gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Run `sctd bench ...` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run(("bench", *arguments))
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """A row with some repeats; keywords replace fields."""

    def make(wall_ms: Sequence[float] = (1.0, 2.0, 3.0), **fields: Any) -> Row:
        base: dict[str, Any] = {
            "suite": "raster",
            "cell": "1k@128",
            "measure": "forward",
            "provider": "sctd",
            "version": "0",
            "device_class": "cpu",
            "settings": {"cameras": 4},
            "machine": {"cpu": "a processor", "commit": "abc"},
            "wall_ms": list(wall_ms),
            "cpu_ms": list(wall_ms),
        }
        return Row(**{**base, **fields})

    return make
