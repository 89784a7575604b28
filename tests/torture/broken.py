"""Backends that each break one rule, as some real stores do. Classes of a module, so that other processes can use them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sheaf.storage.buffers import joined, views
from sheaf.storage.folder.backend import FolderBackend
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

_LATE_S = 0.3


class IgnoresTheCondition(WrapperBackend):
    """Every create is made, whether the key is taken or not."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self.inner.delete(key)
        return self.inner.create(key, data)


class Overwrites(WrapperBackend):
    """Answers as it should, after it has replaced the object."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        if answer is Created.OTHER:
            self.inner.delete(key)
            self.inner.create(key, data)
        return answer


class ClobbersTogether(WrapperBackend):
    """Looks first and writes then: right as long as nobody else is at it."""

    pause_s = 0.002

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if self.inner.stat(key) is not None:
            return self.inner.create(key, data)
        time.sleep(self.pause_s)
        self.inner.replace(key, joined(views(data)))  # in one step: a delete takes folders away under who else is at it
        return Created.CREATED


class ClobbersBetweenProcesses(ClobbersTogether):
    """The same with a lock, which other processes don't see."""

    pause_s = 0.03  # processes of a busy machine meet less often than threads
    _lock = threading.Lock()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        with self._lock:
            return super().create(key, data)


class DisownsItsObjects(WrapperBackend):
    """Calls everything that is there somebody else's."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        return Created.OTHER if answer is Created.MINE else answer


class LosesAWrite(WrapperBackend):
    """One create in fifty is acknowledged and not made."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._creates = 0

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self._creates += 1
        return self.inner.create(key, data) if self._creates % 50 else Created.CREATED


class ListsLate(WrapperBackend):
    """A new object is read at once and listed later."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._born: dict[str, float] = {}

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self._born[key] = time.monotonic()
        return self.inner.create(key, data)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        seen = time.monotonic() - _LATE_S
        return (stat for stat in self.inner.list(prefix, sort=sort) if self._born.get(stat.key, 0.0) < seen)


class ListsLateElsewhere(WrapperBackend):
    """What others have made in a folder is listed later."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._root: Path = inner.root
        self._own: set[str] = set()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        self._own.add(key)
        return self.inner.create(key, data)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        seen = time.time() - _LATE_S
        for stat in self.inner.list(prefix, sort=sort):
            if stat.key in self._own or (self._root / stat.key).stat().st_mtime < seen:
                yield stat


class TornWrites(WrapperBackend):
    """Writes a folder's files in place, piece by piece."""

    inner: FolderBackend

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        whole = b"".join(views(data))
        path = f"{self.inner.root}/{key}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except (FileExistsError, NotADirectoryError):
            return self.inner.create(key, data)
        with os.fdopen(fd, "wb") as file:
            for at in range(0, len(whole), 1 << 19):
                file.write(whole[at : at + (1 << 19)])
                file.flush()
                time.sleep(0.002)
        return Created.CREATED


class ShortReads(WrapperBackend):
    """The last byte of a longer range is missing."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        found = self.inner.get_ranges(key, ranges)
        return [part[:-1] if len(part) > 1000 else part for part in found]


class CutsLargeObjects(WrapperBackend):
    """Keeps the first 32 MiB."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self.inner.create(key, b"".join(views(data))[: 32 << 20])


class DropsEmptyBuffers(WrapperBackend):
    """Takes an object of nothing for no object."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        whole = b"".join(views(data))
        return self.inner.create(key, whole) if whole else Created.CREATED


class FoldsCase(WrapperBackend):
    """Knows no upper case."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self.inner.create(key.lower(), data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self.inner.get(key.lower(), limit)


class ListsOnePage(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(list(self.inner.list(prefix, sort=sort))[:1000])


class SortsByFolder(WrapperBackend):
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return iter(sorted(self.inner.list(prefix), key=lambda stat: stat.key.split("/")))


class KeepsWhatIsDeleted(WrapperBackend):
    def delete(self, key: str) -> None:
        if key.endswith("first"):  # the attempt that everything begins with
            self.inner.delete(key)


class KeepsWhatIsReplaced(WrapperBackend):
    def replace(self, key: str, data: Buffer) -> None:
        self.inner.stat(key)


class RaisesWhatItLikes(WrapperBackend):
    def get(self, key: str, limit: int = LARGEST) -> bytes:
        if self.inner.stat(key) is None:
            raise KeyError(key)
        return self.inner.get(key, limit)


class LosesPacks(WrapperBackend):
    """Keeps every rule for a moment, and then forgets an object that matters."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        if "packs/" in key and answer is Created.CREATED:
            timer = threading.Timer(0.2, self.inner.delete, [key])
            timer.daemon = True
            timer.start()
        return answer


class OverwritesRecords(WrapperBackend):
    """The last of two records wins, and both are told so."""

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        answer = self.inner.create(key, data)
        if "/log/" in key and answer is Created.OTHER:
            self.inner.delete(key)
            return self.inner.create(key, data)
        return answer
