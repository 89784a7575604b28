"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sheaf.errors import Corrupt, NotFound, Repairable, SheafError, Unsupported

__all__ = ["FAULTS", "Problem", "Report", "Tell"]

#: Errors that say something about the store. Others (unreachable, no rights) say that it can't be checked, and end it.
FAULTS = (Corrupt, NotFound, Unsupported)

Tell = Callable[[str, int], None]  #: (what is being checked, how many so far)

_LISTED = 1000  # problems of one kind that are kept in words; the rest is counted


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the object at ``key``, or with the file at that path.

    ``repairable``: nothing is lost, since it can be derived from what is sound. ``missing``: there is no such object.
    """

    kind: str
    key: str
    message: str
    repairable: bool = False
    missing: bool = False


@dataclass(slots=True)
class Report:
    """``counts`` says how much was looked at; ``unlisted`` how many problems there are besides those listed."""

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0
    _listed: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    @property
    def damaged(self) -> int:
        """How many problems can't be repaired from what the store itself has."""
        return len([problem for problem in self.problems if not problem.repairable]) + self.unlisted

    def add(self, kind: str, key: str, message: str, *, repairable: bool = False, missing: bool = False) -> None:
        """Note a problem."""
        self._listed[kind] = self._listed.get(kind, 0) + 1
        if self._listed[kind] > _LISTED:
            self.unlisted += 1
        else:
            self.problems.append(Problem(kind, key, message, repairable, missing))

    def fault(self, kind: str, key: str, error: SheafError, *, missing: bool = False) -> None:
        """Note an error as a problem."""
        is_missing = missing or isinstance(error, NotFound)
        self.add(kind, key, error.message, repairable=isinstance(error, Repairable), missing=is_missing)

    @contextmanager
    def noting(self, kind: str, key: str) -> Iterator[None]:
        """Whatever of :data:`FAULTS` is raised inside becomes a problem."""
        try:
            yield
        except FAULTS as error:
            self.fault(kind, key, error)

    def count(self, what: str, n: int = 1) -> None:
        """Note that something was looked at."""
        self.counts[what] = self.counts.get(what, 0) + n
