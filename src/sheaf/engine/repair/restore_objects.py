"""Restore missing or damaged objects from a copy. Each object is verified before it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sheaf.engine.check.report import FAULTS
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.engine.repair.verify import verify
from sheaf.errors import Corrupt, NotFound, SheafError
from sheaf.storage.port import Backend, Created

__all__ = ["Keep", "Restoration"]

Keep = Callable[[str, bytes], None]  #: called with key and bytes of an object before it is replaced


@dataclass(slots=True)
class Restoration:
    """Restores objects of a location. ``core``: that location; ``sources``: its copies, by preference.

    ``is_dry``: only report. ``restored``: keys of restored objects; ``failed``: keys of others, and why. A missing object
    is created. A damaged one is replaced in one step, so that its key is never free: another process could create
    another record there.
    """

    core: Core
    sources: Sequence[Backend]
    keep: Keep = lambda key, data: None
    is_dry: bool = False
    restored: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    size: int = 0  #: bytes written

    def restore(self, key: str, accept: Callable[[bytes], None] = lambda data: None) -> bytes | None:
        """Restore an object; return its sound bytes, None (and the reason in ``failed``) if no source has them.

        Args:
            accept: raises one of ``FAULTS`` for bytes that are sound, but don't belong there.
        """
        self.failed[key] = "no copy has it"
        for source in self.sources:
            try:
                data = get_object(source, key)
                verify(key, data)
                accept(data)
            except NotFound:
                continue
            except SheafError as error:
                self.failed[key] = f"{source.url}: {error.message}"
                continue
            if self._put(key, data):
                del self.failed[key]
                self.restored.append(key)
                self.size += len(data)
                return data
        return None

    def _put(self, key: str, data: bytes) -> bool:
        """Create an object, or replace a damaged one. Return False if it must not be replaced (see ``failed``)."""
        held = self._held(key)
        if held is not None and (why := self._reason_to_keep(key, held, data)):
            self.failed[key] = why
            return False
        if self.is_dry:
            return True
        if held is not None:
            if held:
                self.keep(key, held)
            self.core.backend.replace(key, data)
        elif self.core.backend.create(key, data) is Created.OTHER:
            self.failed[key] = "a different object was written there concurrently"
            return False
        return True

    def _held(self, key: str) -> bytes | None:
        try:
            return get_object(self.core.backend, key)
        except NotFound:
            return None
        except Corrupt:
            # The object is encrypted and damaged, so there are no bytes to compare.
            return b""

    def _reason_to_keep(self, key: str, held: bytes, data: bytes) -> str:
        """Return why an object must not be replaced, "" if it is damaged."""
        if held == data:
            return "the copy has the same bytes"
        try:
            verify(key, held)
        except FAULTS:
            return ""
        return "it is intact, but differs from the copy"
