"""Files that can't be written out, since the store has lost or damaged their bytes: left out, or what a transfer ends with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sheaf.errors import Corrupt
from sheaf.transfer.download.partial import Partial
from sheaf.transfer.local_errors import printable

__all__ = ["Damaged", "Refusal", "refusal_at", "refuse_damaged"]

_NAMED: Final = 10  #: how many an error names


@dataclass(frozen=True, slots=True, order=True)
class Damaged:
    """A file that can't be read, and why."""

    path: str
    reason: str


Refusal = Callable[[Sequence[Damaged]], Corrupt]


def refuse_damaged(damaged: Sequence[Damaged], hint: str, total: int | None = None) -> Corrupt:
    """The error for some files (``total``, of which these are the first), which names them, or the first ones."""
    total = total or len(damaged)
    named = ", ".join(f"'{each.path}'" for each in damaged[:_NAMED])
    more = f" and {total - _NAMED} more" if total > _NAMED else ""
    return Corrupt(f"{named}{more} can't be read: {damaged[0].reason}", hint)


def refusal_at(partial: Partial, verb: str) -> Refusal:
    """Refuses the damaged files of a transfer into a partial folder, and says what came of the others."""

    def refuse(damaged: Sequence[Damaged]) -> Corrupt:
        hint = f"`sheaf bundle {verb} --skip-on-error` writes all files that are sound"
        if os.listdir(partial.tree):  # noqa: PTH208 - a descriptor
            hint += f"; what came so far is in {printable(str(partial.path))}, and is used by the next attempt"
        return refuse_damaged(damaged, hint)

    return refuse
