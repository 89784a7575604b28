"""Repeated checks of a store during a repair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sheaf.engine.check.check import PackSelection, check_store
from sheaf.engine.check.read_history import Readings
from sheaf.engine.check.report import CheckReport
from sheaf.engine.core import Core
from sheaf.engine.object_cache import Cache, NoCache
from sheaf.format import keys

__all__ = ["Recheck"]


class _Memory(Cache):
    """Remembers as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def put(self, key: str, data: bytes) -> None:
        self._values[key] = data

    def drop(self, key: str) -> None:
        self._values.pop(key, None)


@dataclass(slots=True)
class Recheck:
    """Repeated checks of a store; a sound pack is not read twice.

    ``read_data``: the part of the packs to read each time; with 1 each pack is read once. ``suspects``: packs that had a
    problem in any check. ``on_progress``: called with a phase and a count.
    """

    core: Core
    state: Cache
    read_data: float
    on_progress: Callable[[str, int], None]
    last: CheckReport = field(default_factory=CheckReport)
    suspects: set[bytes] = field(default_factory=set)
    read: Cache = field(default_factory=_Memory)

    def again(self) -> CheckReport:
        """Check again, including the data of quarantined bundles."""
        self.last = self._check(even_quarantined=True)
        self.suspects |= _packs_of(self.last)
        return self.last

    def verdict(self) -> CheckReport:
        """Return the report of a check without quarantined bundles."""
        return self._check(even_quarantined=False) if "bundles quarantined" in self.last.counts else self.last

    def _check(self, *, even_quarantined: bool) -> CheckReport:
        seed = self.core.clock.new_id() if isinstance(self.state, NoCache) else ""
        if self.read_data < 1:
            reading = PackSelection(self.read_data, False, seed, self.state, frozenset(self.suspects))
        else:
            reading = PackSelection(state=self.read, packs=self._unread())
        return check_store(self.core, reading=reading, even_quarantined=even_quarantined, on_progress=self.on_progress)

    def _unread(self) -> frozenset[bytes]:
        """All packs but those that were read since this began, and were sound."""
        listed = keys.ids_of(stat.key for stat in self.core.backend.list(keys.PACKS))
        return frozenset(listed).difference(Readings.load(self.read).times)


def _packs_of(report: CheckReport) -> set[bytes]:
    """The packs that something is wrong with."""
    return set(keys.ids_of(problem.key for problem in report.problems if problem.kind == "pack"))
