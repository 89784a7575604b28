"""Progress of a transfer: counters shared by threads, reported at a limited rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from sheaf.fork import Lock
from sheaf.local_errors import printable

__all__ = ["Meter", "Progress", "ProgressState", "count_to", "log_file", "logs_files"]

_INTERVAL_S: Final = 0.1
_log = logging.getLogger("sheaf")


@dataclass(frozen=True, slots=True)
class ProgressState:
    """The counts of a running operation. Unknown totals are None. ``new_bytes``: bytes not stored before."""

    phase: str
    files: int
    files_total: int | None = None
    bytes: int = 0
    bytes_total: int | None = None
    new_bytes: int = 0


class Progress(Protocol):
    """A callback for progress. It is called often, from one thread at a time, and must return quickly."""

    def __call__(self, state: ProgressState, /) -> None: ...


def count_to(progress: Progress | None) -> Callable[[str, int], None]:
    """Return a callback that reports a phase and a count of which no total is known."""

    def on_progress(phase: str, done: int) -> None:
        if progress:
            progress(ProgressState(phase, done, None, 0, None, 0))

    return on_progress


def logs_files() -> bool:
    """True if names of files are logged."""
    return _log.isEnabledFor(logging.INFO)


def log_file(what: str, path: str, size: int | None = None) -> None:
    """Log the name of a file and what was done with it."""
    _log.info("%s %s%s", what, printable(path), "" if size is None else f", {size} bytes")


class Meter:
    """Counters for a :class:`Progress`, usable from any thread. With None it only counts."""

    def __init__(self, progress: Progress | None = None, phase: str = "", interval_s: float = _INTERVAL_S) -> None:
        self._progress = progress
        self._phase = phase
        self._interval_s = interval_s
        self._files = self._bytes = self._new = 0
        self._files_total: int | None = None
        self._bytes_total: int | None = None
        self._lock = Lock()
        self._due = 0.0
        self._began = time.monotonic()

    @property
    def state(self) -> ProgressState:
        """The current counts."""
        return ProgressState(self._phase, self._files, self._files_total, self._bytes, self._bytes_total, self._new)

    def add(self, *, files: int = 0, size: int = 0, new: int = 0) -> None:
        """Increase several counts at once."""
        with self._lock:
            self._files += files
            self._bytes += size
            self._new += new
            self._report()

    def add_file(self, count: int = 1) -> None:
        """Add finished files."""
        self.add(files=count)

    def add_bytes(self, count: int) -> None:
        """Add bytes that were read, written or already present."""
        self.add(size=count)

    def set_new(self, count: int) -> None:
        """Set the number of new bytes so far, as counted by deduplication."""
        with self._lock:
            self._new = max(self._new, count)

    def add_total(self, *, files: int, size: int) -> None:
        """Add to the totals."""
        with self._lock:
            self._files_total = (self._files_total or 0) + files
            self._bytes_total = (self._bytes_total or 0) + size
            self._report()

    def start(self, phase: str) -> None:
        """Start a phase; reported immediately."""
        with self._lock:
            if phase != self._phase:
                self._log_phase()
            self._phase = phase
            self._due = 0.0
            self._report()

    def finish(self) -> None:
        """Report the final counts immediately."""
        with self._lock:
            self._log_phase()
            self._due = 0.0
            self._report()

    def _log_phase(self) -> None:
        """Log the phase that has ended, and how long it took."""
        now = time.monotonic()
        if self._phase:
            _log.info("%s took %.2f s", self._phase, now - self._began)
        self._began = now

    def _report(self) -> None:
        if self._progress is None or (now := time.monotonic()) < self._due:
            return
        self._due = now + self._interval_s
        self._progress(self.state)
