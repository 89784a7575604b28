"""Make a store read-only."""

from __future__ import annotations

from collections.abc import Sequence

from sheaf.errors import Refused
from sheaf.storage.key_rules import check_key
from sheaf.storage.port import Backend, Buffer, Created, Unfinished
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["ReadOnlyBackend"]


class ReadOnlyBackend(WrapperBackend):
    """Raise ``Refused`` for every create and delete, except for creates of keys that start with ``but``."""

    def __init__(self, inner: Backend, *, but: str | None = None) -> None:
        super().__init__(inner)
        self._but = but

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if self._but is not None and key.startswith(self._but):
            return self.inner.create(key, data)
        raise self._refusal(f"write {check_key(key)}")

    def delete(self, key: str) -> None:
        raise self._refusal(f"delete {check_key(key)}")

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        if remove:
            raise self._refusal("remove unfinished writes")
        return self.inner.unfinished()

    def _refusal(self, what: str) -> Refused:
        return Refused(f"can't {what}: {self.url} is open read-only", "open the store without read-only")
