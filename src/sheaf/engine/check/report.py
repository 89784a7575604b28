"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sheaf.errors import Corrupt, NotFound, Repairable, SheafError, Unsupported
from sheaf.storage.port import Unfinished

__all__ = ["FAULTS", "Problem", "Report", "Tell"]

#: Errors that say something about the store. Others (unreachable, no rights) say that it can't be checked, and end it.
FAULTS = (Corrupt, NotFound, Unsupported)

Tell = Callable[[str, int], None]  #: (what is being checked, how many so far)

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

_LISTED = 1000  # problems of one kind that are kept in words; the rest is counted


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the object at ``key``, or with the file at that path.

    ``repairable``: nothing is lost, since it can be derived from what is sound. ``missing``: there is no such object.
    ``suspects``: of a file, the keys of the packs that its bytes may be in. ``needed_by``: the first places (repo@bundle:path)
    that can't be read because of it; there are ``files`` of them, in so many ``bundles``. ``repo``: whose log it is in.
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
class Report:
    """``counts`` says how much was looked at; ``unlisted`` how many problems there are besides those listed.

    ``unfinished``: what killed writers left outside of all keys, and what others are writing there. It takes room and harms
    nothing, so it is no problem. ``noted``: keys of objects that are noted as damaged, so that nothing new needs them; the
    note of one that is sound again costs space only.
    """

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    unlisted: int = 0
    unfinished: list[Unfinished] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
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
        self.note(Problem(kind, key, message, repairable, missing))

    def note(self, problem: Problem) -> None:
        """The same, of a problem that is put together already."""
        self._listed[problem.kind] = self._listed.get(problem.kind, 0) + 1
        if self._listed[problem.kind] > _LISTED:
            self.unlisted += 1
        else:
            self.problems.append(problem)

    def fault(
        self, kind: str, key: str, error: SheafError, *, missing: bool = False, suspects: tuple[str, ...] = ()
    ) -> None:
        """Note an error as a problem."""
        is_missing = missing or isinstance(error, NotFound)
        self.note(Problem(kind, key, error.message, isinstance(error, Repairable), is_missing, suspects))

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
