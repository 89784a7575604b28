"""The result of a check: problems and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sheaf.errors import Corrupt, NotFound, Repairable, SheafError, Unsupported
from sheaf.storage.port import Unfinished

__all__ = ["FAULTS", "CheckReport", "Problem", "ReportProgress"]

#: Errors that are problems of the store. Others (unreachable, no permission) mean that it can't be checked, and end the
#: check.
FAULTS = (Corrupt, NotFound, Unsupported)

ReportProgress = Callable[[str, int], None]  #: (what is being checked, how many so far)

_READ_OR_LEFT: Final = ("from-replica", "quarantine")
_REMEDIES: Final[dict[str, tuple[str, ...]]] = {
    "index": ("index",),
    "page": ("pages",),
    "node": _READ_OR_LEFT,
    "pack": _READ_OR_LEFT,
    "object": _READ_OR_LEFT,
    "file": _READ_OR_LEFT,
    "size": ("quarantine",),
    "bundle": ("quarantine",),
    "ref": (),
}

_LISTED = 1000  # problems of one kind that are listed; the others are counted


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of the object at ``key``, or of the file at that path.

    ``repairable``: True if nothing is lost, since the object can be derived from sound ones. ``missing``: True if the
    object doesn't exist. ``suspects``: for a file, the keys of the packs that may contain its bytes. ``needed_by``: the
    first paths (repo@bundle:path) that can't be read because of it, of ``files`` in so many ``bundles``. ``repo``: the
    id of the repo whose log has the problem.
    """

    kind: str
    key: str
    message: str
    repairable: bool = False
    missing: bool = False
    suspects: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    files: int = 0
    bundles: int = 0
    repo: str = ""

    @property
    def remedies(self) -> tuple[str, ...]:
        """The options of ``store repair`` that may help, the best one first."""
        if self.kind == "pack" and self.repairable:
            return ("from-replica", "index")
        return _REMEDIES.get(self.kind, ("from-replica",))


@dataclass(slots=True)
class CheckReport:
    """The result. ``counts``: how many objects were checked, by kind; ``unlisted``: number of problems that are not listed.

    ``unfinished``: data outside of all keys that killed writers have left, or that others are writing. It uses space
    and is harmless, so it is not a problem. ``noted``: keys of objects that are noted as damaged, so that nothing new
    references them; the note of an object that is sound again only costs space.
    """

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0
    unfinished: list[Unfinished] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    _listed: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """True if there are no problems."""
        return not self.problems

    @property
    def damaged(self) -> int:
        """Number of problems that can't be repaired from the store itself."""
        return len([problem for problem in self.problems if not problem.repairable]) + self.unlisted

    def add(self, kind: str, key: str, message: str, *, repairable: bool = False, missing: bool = False) -> None:
        """Add a problem."""
        self.note(Problem(kind, key, message, repairable, missing))

    def note(self, problem: Problem) -> None:
        """Add a problem object."""
        self._listed[problem.kind] = self._listed.get(problem.kind, 0) + 1
        if self._listed[problem.kind] > _LISTED:
            self.unlisted += 1
        else:
            self.problems.append(problem)

    def fault(
        self, kind: str, key: str, error: SheafError, *, missing: bool = False, suspects: tuple[str, ...] = ()
    ) -> None:
        """Add an error as a problem."""
        is_missing = missing or isinstance(error, NotFound)
        self.note(Problem(kind, key, error.message, isinstance(error, Repairable), is_missing, suspects))

    @contextmanager
    def noting(self, kind: str, key: str) -> Iterator[None]:
        """Add any of :data:`FAULTS` that is raised in the block as a problem."""
        try:
            yield
        except FAULTS as error:
            self.fault(kind, key, error)

    def count(self, what: str, n: int = 1) -> None:
        """Count objects that were checked."""
        self.counts[what] = self.counts.get(what, 0) + n
