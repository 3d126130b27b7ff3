"""How little an iteration asks of a GPU beside network and VAE, counted on tensors that have no numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from benchmarks import launches
from sctd.methods import sctd as sctd_method

MOST = 26
"""Operations of an iteration; an op of sctd counts as one, as in the list of the plain twins."""


@pytest.mark.parametrize("overrides", [(), ("sctd.perp_neg.enabled=true",), ("gaussians.sh_degree=3",)])
def test_an_iteration_is_few_launches_and_waits_for_nothing(overrides: tuple[str, ...]) -> None:
    found = launches.record(overrides, iterations=16)
    counts = [len(seen.launches) for seen in found]
    assert len(set(counts)) == 3, "mirrored, or the disparity, costs the same; some iterations have both"
    assert max(counts) <= MOST, found[counts.index(max(counts))].launches
    for seen in found:
        assert seen.stray == [], "a copy for which the host waits"
        assert {"sctd.project", "sctd.views_backward", "sctd.adam", "sctd.watch_screen"} <= set(seen.launches)


def test_a_wait_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sctd_method.add_noise
    monkeypatch.setattr(sctd_method, "add_noise", lambda *args: plain(*args) * float(args[1].sum()))
    with pytest.raises(DataDependentOutputException):
        launches.record(iterations=1)


def test_a_copy_from_the_hosts_memory_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sctd_method.add_noise
    monkeypatch.setattr(sctd_method, "add_noise", lambda *args: plain(*args) * torch.ones(64, 64))
    assert all(seen.stray == ["aten.mul.Tensor"] for seen in launches.record(iterations=2))


@pytest.mark.usefixtures("simt_module")
def test_the_committed_numbers_are_those_of_these_sources(repository: Path) -> None:
    """`make simt`, then the command on docs/launches.md, writes them anew."""
    committed = (repository / "docs/launches.json").read_text(encoding="utf-8")
    assert launches.measured() == json.loads(committed)
