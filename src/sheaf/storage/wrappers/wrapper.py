"""The base of backends that wrap another backend and change one thing about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sheaf.storage.port import LARGEST, Backend, Buffer, Created, Stat, Unfinished

__all__ = ["WrapperBackend"]


class WrapperBackend(Backend):
    """Passes every call on to ``inner``; subclasses override what they change."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.url = inner.url
        self.ordered = inner.ordered
        self.settle_s = inner.settle_s

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        return self.inner.create(key, data)

    def get(self, key: str, limit: int = LARGEST) -> bytes:
        return self.inner.get(key, limit)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return self.inner.get_ranges(key, ranges)

    def stat(self, key: str) -> Stat | None:
        return self.inner.stat(key)

    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        return self.inner.list(prefix, sort=sort)

    def newest(self, prefix: str) -> str | None:
        return self.inner.newest(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def prepare(self, prefix: str) -> None:
        self.inner.prepare(prefix)

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        return self.inner.unfinished(remove=remove)

    def close(self) -> None:
        self.inner.close()
