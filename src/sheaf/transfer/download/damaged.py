"""Files whose bytes are missing or damaged in the store: a transfer skips them, or ends with an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sheaf.errors import Corrupt
from sheaf.local_errors import printable
from sheaf.transfer.download.partial import PartialFolder

__all__ = ["Damaged", "Refusal", "damage_error", "refusal_at"]

_NAMED: Final = 10  #: number of files that an error names


@dataclass(frozen=True, slots=True, order=True)
class Damaged:
    """An unreadable file, and the reason."""

    path: str
    reason: str


Refusal = Callable[[Sequence[Damaged]], Corrupt]


def damage_error(damaged: Sequence[Damaged], hint: str, total: int | None = None) -> Corrupt:
    """Return the error for ``total`` damaged files, which names the first ones."""
    total = total or len(damaged)
    named = ", ".join(f"'{each.path}'" for each in damaged[:_NAMED])
    more = f" and {total - _NAMED} more" if total > _NAMED else ""
    return Corrupt(f"{named}{more} can't be read: {damaged[0].reason}", hint)


def refusal_at(partial: PartialFolder, verb: str) -> Refusal:
    """Return a function that makes the error for damaged files of a transfer into a partial folder."""

    def refuse(damaged: Sequence[Damaged]) -> Corrupt:
        hint = f"run `sheaf bundle {verb} --skip-on-error` to write all sound files"
        if os.listdir(partial.tree):  # noqa: PTH208 - a descriptor
            hint += f"; fetched files are in {printable(str(partial.path))}; the next attempt uses them"
        return damage_error(damaged, hint)

    return refuse
