"""The lease of a batch at a URL: an object that names the coordinator, which renews it; stores have no locks.

Two coordinators that begin within the same second may both find no lease. Each renewal reads before it
writes, so the one whose lease was overwritten stops at its next renewal, before it touches the other's
manifest.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sctd.batch.objects import Objects
from sctd.errors import SctdError

LEASE = ".lease"
LEASE_S = 300.0
"""A lease lapses after so long without renewal; clocks of machines that share a batch agree much better."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    token: str
    host: str
    space: str
    """Namespace of process numbers: a container has its own."""
    pid: int
    time: float
    """Time of the renewal, seconds since 1970, by the holder's clock."""

    def seconds_left(self) -> float:
        """Seconds until it lapses; at most 0 when it has lapsed or its process is known to be dead."""
        if (self.host, self.space) == _here() and not _alive(self.pid):
            return 0.0
        return LEASE_S - abs(time.time() - self.time)


class Lease:
    """One process's view of the lease at a URL."""

    def __init__(self, objects: Objects) -> None:
        """Nothing is read yet."""
        self._objects = objects
        self._token = uuid.uuid4().hex

    def holder(self) -> Holder | None:
        """The holder; None if there is none or the lease has lapsed."""
        with suppress(ValueError, TypeError):  # no JSON, or of another version: no holder
            found = Holder(**json.loads(self._objects.read(LEASE) or b"null"))
            return found if found.seconds_left() > 0 else None
        return None

    def take(self) -> None:
        """Take it. Raises SctdError: another process holds it."""
        other = self.holder()
        if other is not None:
            raise SctdError(
                f"another sctd batch is running at {self._objects.url}: process {other.pid} on {other.host}; "
                f"if it was killed, its hold lapses in {other.seconds_left():.0f} s, or remove {LEASE} there"
            )
        self._put()
        self.renew()

    def renew(self) -> None:
        """Renew the lease. Raises SctdError: another process has taken over."""
        other = self.holder()
        if other is not None and other.token != self._token:
            raise SctdError(
                f"process {other.pid} on {other.host} has taken over the batch at {self._objects.url}"
            )
        self._put()

    def drop(self) -> None:
        """Remove the lease, unless another process has taken over."""
        other = self.holder()
        if other is None or other.token == self._token:
            self._objects.remove(LEASE)

    def _put(self) -> None:
        holder = Holder(self._token, *_here(), os.getpid(), time.time())
        self._objects.write(LEASE, json.dumps(asdict(holder)).encode())


def _here() -> tuple[str, str]:
    space = ""
    with suppress(OSError):  # no Linux
        space = str(Path("/proc/self/ns/pid").readlink())
    return platform.node(), space


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
