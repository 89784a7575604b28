"""A store in a folder of another store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sheaf.storage.key_rules import check_key, check_prefix
from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["PrefixBackend"]


class PrefixBackend(WrapperBackend):
    """The keys of ``inner`` below ``folder``. Raises ``InvalidInput`` if ``folder`` is not a valid key."""

    def __init__(self, inner: Backend, folder: str) -> None:
        super().__init__(inner)
        self._base = check_key(folder.strip("/")) + "/"
        self.url = f"{inner.url}{'' if inner.url.endswith('/') else '/'}{self._base[:-1]}"

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self.inner.create(self._full(key), data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self.inner.get(self._full(key), limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.inner.get_ranges(self._full(key), ranges)

    def stat(self, key: str) -> Stat | None:
        found = self.inner.stat(self._full(key))
        return None if found is None else Stat(key, found.size)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        found = self.inner.list(self._base + check_prefix(prefix), sort=sort)
        return (Stat(stat.key[len(self._base) :], stat.size) for stat in found)

    def newest(self, prefix: str) -> str | None:
        found = self.inner.newest(self._base + check_prefix(prefix))
        return None if found is None else found[len(self._base) :]

    def replace(self, key: str, data: Buffer) -> None:
        self.inner.replace(self._full(key), data)

    def delete(self, key: str) -> None:
        self.inner.delete(self._full(key))

    def _full(self, key: str) -> str:
        return self._base + check_key(key)
