"""A backend on which somebody else is always a moment faster, if the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.wrappers.wrapper import WrapperBackend


class MeddlingBackend(WrapperBackend):
    """Runs :attr:`meddle` once, right before the next log record would be created."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.meddle: Callable[[], None] | None = None

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        if "log/" in key and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle()
        return self.inner.create(key, data)
