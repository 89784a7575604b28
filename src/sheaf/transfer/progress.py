"""How far a transfer is: one counter that many threads bump, told on at a bearable rate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

from sheaf.fork import Lock

__all__ = ["Meter", "Progress", "ProgressState"]

_INTERVAL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class ProgressState:
    """Totals are None while they aren't known. ``new_bytes``: bytes that the store did not have yet."""

    phase: str
    files: int
    files_total: int | None
    bytes: int
    bytes_total: int | None
    new_bytes: int


class Progress(Protocol):
    """What a door hands in to be told: called often, from one thread at a time; must be cheap."""

    def __call__(self, state: ProgressState, /) -> None: ...


class Meter:
    """Counts for a :class:`Progress`, from any thread. With None it only counts."""

    def __init__(self, progress: Progress | None = None, phase: str = "") -> None:
        self._progress = progress
        self._phase = phase
        self._files = self._bytes = self._new = 0
        self._files_total: int | None = None
        self._bytes_total: int | None = None
        self._lock = Lock()
        self._due = 0.0

    @property
    def state(self) -> ProgressState:
        """The counts as they are now."""
        return ProgressState(self._phase, self._files, self._files_total, self._bytes, self._bytes_total, self._new)

    def add(self, *, files: int = 0, bytes: int = 0, new: int = 0) -> None:
        """Bumps several counts at once, which is what a batch does."""
        with self._lock:
            self._files += files
            self._bytes += bytes
            self._new += new
            self._tell()

    def add_file(self, count: int = 1) -> None:
        """``count`` files are done."""
        self.add(files=count)

    def add_bytes(self, count: int) -> None:
        """``count`` bytes were moved (read, written or found to be there)."""
        self.add(bytes=count)

    def add_new(self, count: int) -> None:
        """``count`` bytes were new to the store."""
        self.add(new=count)

    def set_new(self, count: int) -> None:
        """So many bytes were new so far, as whoever deduplicates counts them."""
        with self._lock:
            self._new = max(self._new, count)

    def add_total(self, *, files: int, bytes: int) -> None:
        """So much more is known to lie ahead."""
        with self._lock:
            self._files_total = (self._files_total or 0) + files
            self._bytes_total = (self._bytes_total or 0) + bytes
            self._tell()

    def start(self, phase: str) -> None:
        """Names what happens now; told at once."""
        with self._lock:
            self._phase = phase
            self._due = 0.0
            self._tell()

    def finish(self) -> None:
        """Tells the last counts, however recently the others were told."""
        with self._lock:
            self._due = 0.0
            self._tell()

    def _tell(self) -> None:
        if self._progress is None or (now := time.monotonic()) < self._due:
            return
        self._due = now + _INTERVAL_S
        self._progress(self.state)
