"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sheaf.errors import Repairable, SheafError

__all__ = ["Problem", "Report", "Tell"]

Tell = Callable[[str, int], None]  #: (what is being checked, objects so far)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``repairable``: nothing is lost, since it can be derived from what is sound."""

    kind: str
    key: str
    message: str
    repairable: bool = False


@dataclass(slots=True)
class Report:
    """What a check found; ``counts`` says how much was looked at."""

    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def add(self, kind: str, key: str, error: SheafError) -> None:
        """Note an error as a problem."""
        self.problems.append(Problem(kind, key, error.message, isinstance(error, Repairable)))

    def count(self, what: str, n: int = 1) -> None:
        """Note that something was looked at."""
        self.counts[what] = self.counts.get(what, 0) + n
