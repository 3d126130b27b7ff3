"""Files below a URL. fsspec implements the protocols; this adds whole uploads, retries and messages."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from sctd.errors import InputError, OutputError

R = TypeVar("R")

PART = ".part"
"""Suffix of an upload that is not complete; a kill may leave one, until the next upload of that name."""
PAUSES_S = 2.0, 8.0, 30.0
"""Seconds to wait before each new attempt after the network has failed."""
LASTING = PermissionError, NotADirectoryError, IsADirectoryError, ImportError, ValueError
LASTING_NUMBERS = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG
"""Errors that no new attempt can avoid."""


class Objects:
    """Objects below a URL, by keys such as "asset/log.jsonl". Errors are :class:`.OutputError`."""

    def __init__(self, url: str, patient: bool = False) -> None:
        """Nothing is read yet.

        Args:
            patient: whether to retry after an error; at first contact an error is reported at once.

        Raises:
            InputError: the protocol is unknown, or its package is not installed.
        """
        self.url, self.patient = url.rstrip("/"), patient
        self._fs, self._root = _file_system(self.url)
        self._renames = _renames(self._fs)

    def address(self, key: str) -> str:
        """The URL of a key."""
        return f"{self.url}/{key}" if key else self.url

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        with suppress(FileNotFoundError):
            self._try("read", key, self._fs.info)
            return True
        return False

    def listed(self, below: str = "") -> list[str]:
        """The keys of everything, or of everything in a folder."""
        try:
            found = self._try("read", below, self._fs.find)
        except FileNotFoundError:
            return []
        return [path.removeprefix(self._root).lstrip("/") for path in found]

    def read(self, key: str) -> bytes | None:
        """An object's content; None where there is no object."""
        try:
            return bytes(self._try("read", key, self._fs.cat_file))
        except FileNotFoundError:
            return None

    def get(self, key: str, path: Path) -> None:
        """An object => a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # gone since it was listed
            self._try("read", key, lambda place: self._fs.get_file(place, str(path)))

    def write(self, key: str, data: bytes) -> None:
        """Bytes => an object; see :meth:`put`."""
        with tempfile.TemporaryDirectory(prefix="sctd-batch-") as folder:
            path = Path(folder) / "data"
            path.write_bytes(data)
            self.put(path, key)

    def put(self, path: Path, key: str) -> None:
        """A file => an object, under its final name once it is whole.

        A disk or a server shows a file while it is being written, so this writes under another name and
        renames. Object stores publish an upload only when it is complete. We recognise them by their lack
        of a native rename; a copy for each upload would cost.
        """

        def put(place: str) -> None:
            first = place + PART if self._renames else place
            try:
                self._fs.put_file(str(path), first)
            except FileNotFoundError:  # only some protocols have folders
                self._make_folder(place.rpartition("/")[0])
                self._fs.put_file(str(path), first)
            if self._renames:
                self._fs.mv(first, place)

        try:
            self._try("write", key, put)
        except FileNotFoundError as exc:
            raise OutputError(f"cannot write {self.address(key)}: {reason(exc)}; make it first") from exc

    def remove(self, key: str) -> None:
        """Remove an object, if it exists."""
        with suppress(FileNotFoundError):
            self._try("write", key, self._fs.rm)

    def _make_folder(self, path: str) -> None:
        """Make a folder and its parents, but not the first part: a misspelt URL must make no bucket."""
        above = path.rpartition("/")[0]
        if above.strip("/") and not self._fs.isdir(path):
            self._make_folder(above)
            self._fs.mkdir(path, create_parents=False)

    def _try(self, verb: str, key: str, action: Callable[[str], R]) -> R:
        """Act on a path, with retries. Raises FileNotFoundError unchanged, any other error as OutputError."""
        for pause in (*(PAUSES_S if self.patient else ()), None):
            try:
                self._fs.invalidate_cache()  # other machines write here too
                return action(f"{self._root}/{key}" if key else self._root)
            except FileNotFoundError:
                raise
            except Exception as exc:  # each protocol has errors of its own
                lasting = isinstance(exc, LASTING) or getattr(exc, "errno", None) in LASTING_NUMBERS
                if lasting or pause is None:
                    hint = f"; continue with --resume {self.url}" if self.patient else ""
                    self.patient = False  # one wait serves all assets in flight
                    raise OutputError(f"cannot {verb} {self.address(key)}: {reason(exc)}{hint}") from exc
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def read_url(url: str) -> bytes:
    """The content of a file.

    Raises:
        InputError: it cannot be read.
    """
    data = Objects(url).read("")
    if data is None:
        raise InputError(f"cannot read {url}: no such file, folder or bucket")
    return data


def reason(exc: BaseException) -> str:
    """An error in a few words."""
    if isinstance(exc, FileNotFoundError):
        return "no such file, folder or bucket"
    text = " ".join(str(getattr(exc, "strerror", None) or exc).split())[:300] or type(exc).__name__
    return f"permission denied ({text})" if isinstance(exc, PermissionError) else text


def _renames(fs: Any) -> bool:
    from fsspec import AbstractFileSystem

    return type(fs).mv is not AbstractFileSystem.mv  # which copies and deletes


def _file_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    try:
        fs, path = url_to_fs(url)
    except ImportError as exc:
        package = known_implementations.get(protocol, {}).get("class", "fsspec").partition(".")[0]
        how = str(exc) if package == "fsspec" else f"run `pip install {package}`"
        raise InputError(f"{protocol}:// needs a package that is not installed; {how}") from exc
    except Exception as exc:
        known = "give a folder, or a URL with s3://, gs://, az://, file:// or another protocol of fsspec"
        raise InputError(f"cannot use {url}: {reason(exc)}; {known}") from exc
    return fs, str(path).rstrip("/")
