"""Who may work on a batch at a URL: the lease of its coordinator, here and on other machines."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from night import Lines, finish, kill_after, states

from sctd.batch import lease, remote
from sctd.batch.remote import Url
from sctd.batch.run import carry_on
from sctd.batch.status import status
from sctd.batch.store import store_at
from sctd.errors import SctdError

pytestmark = pytest.mark.usefixtures("cache")


def test_one_coordinator_at_a_time(tmp_path: Path, night: Url) -> None:
    """The lease of a dead process on this machine does not count."""
    other = store_at(str(night), tmp_path / "elsewhere")
    for _ in carry_on(night, Lines(), in_flight=1, retries=1):
        assert status(other).at_work
        with pytest.raises(SctdError, match=rf"another sctd batch is running at .*: process {os.getpid()} "):
            finish(other)
        break
    with night.held(lambda text: None):
        code = f"from sctd.batch.store import store_at; print(store_at({str(night)!r}).is_held())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"
    assert not status(night).at_work
    kill_after(str(night), 3)
    assert (tmp_path / "deep" / "night" / lease.LEASE).exists()
    assert not status(night).at_work
    finish(other)
    assert set(states(night).values()) == {"done"}


@pytest.fixture
def elsewhere(tmp_path: Path, night: Url) -> Callable[[float], None]:
    """Write the lease of a coordinator on another machine, renewed so many seconds ago."""
    path = tmp_path / "deep" / "night" / lease.LEASE

    def write(age: float) -> None:
        path.unlink(missing_ok=True)
        with night.held(lambda text: None):
            mine = lease.Holder(**json.loads(path.read_text()))
        other = dataclasses.replace(mine, token="other", host="far-away", time=mine.time - age)
        path.write_text(json.dumps(dataclasses.asdict(other)))

    return write


def test_a_coordinator_elsewhere_has_time_to_renew(night: Url, elsewhere: Callable[[float], None]) -> None:
    elsewhere(lease.LEASE_S - 60)
    with pytest.raises(SctdError, match=r"on far-away; if it was killed, its hold lapses in (59|60) s"):
        finish(night)
    assert set(states(night).values()) == {"queued"}
    elsewhere(lease.LEASE_S + 1)
    finish(night)
    assert set(states(night).values()) == {"done"}


def test_a_coordinator_whose_lease_is_taken_stops(
    night: Url, elsewhere: Callable[[float], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a long sleep: from then on the manifest belongs to the other coordinator."""
    monkeypatch.setattr(remote, "PUBLISH_S", 0.0)
    monkeypatch.setattr("sctd.batch.run.REPORT_S", 0.0)
    path = tmp_path / "deep" / "night" / lease.LEASE
    elsewhere(0)
    taken = path.read_bytes()
    path.unlink()
    outcomes = carry_on(night, Lines(), in_flight=1, retries=1)
    next(outcomes)
    path.write_bytes(taken)
    before = states(night)
    with pytest.raises(SctdError, match="on far-away has taken over the batch at file://"):
        list(outcomes)
    assert path.read_bytes() == taken
    assert states(night) == before
