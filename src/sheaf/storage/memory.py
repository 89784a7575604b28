"""A store in this process's memory: the reference with which the other backends are compared."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sheaf.errors import NotFound
from sheaf.fork import Lock
from sheaf.storage.buffers import check_size, cut_ranges, is_equal, views
from sheaf.storage.key_rules import check_key, check_prefix
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat

__all__ = ["MemoryBackend"]


@dataclass(slots=True)
class _Shelf:
    """The objects that all backends of one name share."""

    lock: threading.Lock = field(default_factory=Lock)
    objects: dict[str, bytes] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)  #: the keys of ``objects``, ascending


#: Named stores last as long as the process, so that two calls ``open_backend("memory://x")`` open the same store.
_NAMED: dict[str, _Shelf] = {}
_NAMED_LOCK = Lock()


class MemoryBackend(Backend):
    """A store in memory: ``memory://`` is always a new one, ``memory://name`` is the same one in the whole process."""

    ordered = True

    def __init__(self, name: str = "") -> None:
        self.url = f"memory://{name}"
        with _NAMED_LOCK:
            self._shelf = _NAMED.setdefault(name, _Shelf()) if name else _Shelf()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        check_key(key)
        parts = views(data)
        with self._shelf.lock:
            found = self._shelf.objects.get(key)
            if found is None:
                self._shelf.objects[key] = b"".join(parts)
                insort(self._shelf.keys, key)
                return Created.CREATED
        return Created.MINE if is_equal(parts, found) else Created.OTHER

    def replace(self, key: str, data: Buffer) -> None:
        check_key(key)
        with self._shelf.lock:
            if key not in self._shelf.objects:
                insort(self._shelf.keys, key)
            self._shelf.objects[key] = bytes(data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        found = self._found(key)
        check_size(key, len(found), limit)
        return found

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return cut_ranges(key, self._found(key), ranges)

    def _found(self, key: str) -> bytes:
        check_key(key)
        try:
            return self._shelf.objects[key]
        except KeyError:
            raise NotFound(f"no object {key} in {self.url}") from None

    def stat(self, key: str) -> Stat | None:
        found = self._shelf.objects.get(check_key(key))
        return None if found is None else Stat(key, len(found))

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        check_prefix(prefix)
        with self._shelf.lock:
            keys = self._shelf.keys
            found = keys[bisect_left(keys, prefix) : bisect_left(keys, prefix + "\x7f")]
            stats = [Stat(key, len(self._shelf.objects[key])) for key in found]
        return iter(stats)

    def newest(self, prefix: str) -> str | None:
        check_prefix(prefix)
        with self._shelf.lock:
            keys = self._shelf.keys
            at = bisect_left(keys, prefix)
            return keys[at] if at < len(keys) and keys[at].startswith(prefix) else None

    def delete(self, key: str) -> None:
        check_key(key)
        with self._shelf.lock:
            if self._shelf.objects.pop(key, None) is not None:
                del self._shelf.keys[bisect_left(self._shelf.keys, key)]
