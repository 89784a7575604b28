"""Notices of erasures, so that erased contents don't come back unnoticed."""

from __future__ import annotations

from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, InvalidInput, Refused
from sheaf.fork import Lock
from sheaf.format import keys
from sheaf.format.session_v1 import Notice, unseal
from sheaf.model.ids import parse_hash

__all__ = ["Erasures", "erased_contents", "forget_names", "mark_of_all"]


def erased_contents(core: Core) -> frozenset[bytes]:
    """The hashes of all erased contents, as the store lists them now. Raises Corrupt."""
    return frozenset(_content(stat.key) for stat in core.backend.list(keys.ERASED))


def mark_of_all(contents: frozenset[bytes]) -> str:
    """A short name for a set of contents, as a cache mark."""
    return blake3(b"".join(sorted(contents))).hexdigest()


def forget_names(core: Core, contents: frozenset[bytes]) -> None:
    """Drop this user's cached nodes, which may contain erased names, unless that was done since the last erasure.

    A process that erases clears only its own user's cache; other users' caches are cleared when they next see the notices.
    """
    if not contents or core.cache.is_marked(mark := mark_of_all(contents)):
        return
    core.cache.clear(keys.NODES)
    core.cache.mark(mark)


class Erasures:
    """The notices that a session found when it began. Safe to use from many threads.

    ``allow``: erased contents may be stored again; those that were are in ``returned``.
    """

    def __init__(self, core: Core, contents: frozenset[bytes], *, allow: bool = False) -> None:
        self._core = core
        self._contents = contents
        self._allow = allow
        self._sizes: frozenset[int] | None = None
        self._lock = Lock()
        self.returned: set[bytes] = set()

    @property
    def contents(self) -> frozenset[bytes]:
        """The hashes of all erased contents."""
        return self._contents

    def may_be(self, size: int) -> bool:
        """True if a file of this size may have been erased. Such a file must be hashed before any part of it is stored."""
        if not self._contents or self._allow:
            return False
        with self._lock:
            if self._sizes is None:
                self._sizes = frozenset(self._core.io.map(self._size, self._contents))
        return size in self._sizes or -1 in self._sizes

    def refuse(self, content: bytes, what: str = "") -> None:
        """Raise Refused for an erased content, unless it is allowed. ``what``: the file that has it."""
        if content not in self._contents:
            return
        if not self._allow:
            raise Refused(
                f"{what or f'content {content.hex()}'} was erased from this store",
                "leave the file out, or allow it again with --allow-erased",
            )
        with self._lock:
            self.returned.add(content)

    def check_bytes(self, data: bytes, what: str = "") -> None:
        """Raise Refused if these bytes, a whole file, are an erased content that is not allowed."""
        if self._contents:
            self.refuse(blake3(data).digest(), what)

    def warnings(self) -> list[str]:
        """Warnings about erased contents that were stored again."""
        return [
            f"content {content.hex()} was erased from this store, but has been stored again"
            for content in sorted(self.returned)
        ]

    def _size(self, content: bytes) -> int:
        key = keys.erased(content)
        return unseal(get_object(self._core.backend, key), "erased", Notice, key).size


def _content(key: str) -> bytes:
    try:
        return parse_hash(key.removeprefix(keys.ERASED))
    except InvalidInput as error:
        raise Corrupt(f"{key} is not a notice", "remove it from the store") from error
