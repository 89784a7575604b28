"""The exit codes of ``sheaf`` and their meanings: those of ``sheaf.errors.RULES`` and those of signals."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BROKEN_PIPE",
    "DAMAGED",
    "EXITS",
    "INTERRUPTED",
    "NO",
    "OK",
    "PARTIAL",
    "REPAIRABLE",
    "TERMINATED",
    "UNREACHABLE",
    "USAGE",
]

OK: Final = 0
NO: Final = 1
USAGE: Final = 2
DAMAGED: Final = 6
REPAIRABLE: Final = 7
UNREACHABLE: Final = 8
PARTIAL: Final = 11
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143

EXITS: Final[dict[int, str]] = {
    0: "done",
    1: "differences found (with --exit-code)",
    2: "usage error",
    3: "not found",
    4: "already exists, or changed in the meantime",
    5: "refused: ambiguous, not empty, read-only, newer format, missing extra",
    6: "damaged",
    7: "damaged but repairable",
    8: "unreachable or timed out",
    9: "permission denied",
    10: "out of space, or over quota",
    11: "partially completed: files skipped, conflicts",
    12: "unexpected error: please report it",
    130: "interrupted",
    141: "broken pipe",
    143: "terminated",
}
