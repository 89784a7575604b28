"""What each exit code of ``sheaf`` means: the numbers of ``sheaf.errors.RULES`` and the signals', in words."""

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
    1: "the answer is no (with --exit-code)",
    2: "the call is wrong",
    3: "not found",
    4: "exists already, or changed meanwhile",
    5: "refused: ambiguous, not empty, read-only, a newer format, a missing extra",
    6: "damaged",
    7: "damaged but repairable",
    8: "unreachable or timed out",
    9: "not allowed",
    10: "no space, or over quota",
    11: "done in part: files skipped, conflicts",
    12: "unexpected: please report it",
    130: "interrupted",
    141: "whoever read the output went away",
    143: "terminated",
}
