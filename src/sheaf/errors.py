"""Categories of errors: errors of one category call for the same next step.

Every door (command line, HTTP, S3, FUSE) maps errors with the one table below. Classes for a single failure are defined
next to the code that raises them and inherit from a category here.
"""

from __future__ import annotations

import errno as _errno
import re as _re
from typing import ClassVar

from msgspec import Struct

__all__ = [
    "RULES",
    "AlreadyExists",
    "Ambiguous",
    "Bug",
    "Conflict",
    "Corrupt",
    "Denied",
    "InvalidInput",
    "NoSpace",
    "NotFound",
    "Partial",
    "Refused",
    "Repairable",
    "Rule",
    "SheafError",
    "Unavailable",
    "Unsupported",
    "rule_of",
]

#: Characters with which a name from a store could break a message's one line, or control the terminal that shows it.
_CONTROLS = _re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")


class SheafError(Exception):
    """Root of all errors that Sheaf raises on purpose.

    ``message`` is one line that names the thing, control characters escaped; ``hint`` (may be empty) names the next step.
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        message = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), message)
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidInput(SheafError, ValueError):
    """Invalid usage or input: correct the call."""

    kind = "invalid-input"


class NotFound(SheafError, LookupError):
    """The named thing does not exist: choose another name or create it."""

    kind = "not-found"


class AlreadyExists(SheafError):
    """The name is already in use: choose another."""

    kind = "already-exists"


class Conflict(SheafError):
    """Something changed in the meantime: check the current state and try again."""

    kind = "conflict"


class Refused(SheafError):
    """Sheaf refuses the request: not empty, read-only or unsafe."""

    kind = "refused"


class Ambiguous(Refused):
    """A name has two meanings: use the explicit form in the hint."""

    kind = "ambiguous"


class Unsupported(Refused):
    """The store requires a newer Sheaf, or an optional package is not installed."""

    kind = "unsupported"


class Corrupt(SheafError):
    """Bytes do not match their hash: stop and run ``sheaf store check``. Never hidden by a retry."""

    kind = "corrupt"


class Repairable(Corrupt):
    """Damage without data loss: the damaged object can be rebuilt."""

    kind = "repairable"


class Unavailable(SheafError):
    """The store is unreachable or timed out: wait and try again."""

    kind = "unavailable"


class Denied(SheafError):
    """The store or the file system denies access: get the permissions."""

    kind = "denied"


class NoSpace(SheafError):
    """The disk is full or a quota is used up: free space and run the same command again."""

    kind = "no-space"


class Partial(SheafError):
    """Partially completed: some files were skipped or are in conflict."""

    kind = "partial"


class Bug(SheafError):
    """An internal invariant does not hold: please report it."""

    kind = "bug"


class Rule(Struct, frozen=True):
    """Codes of one category for each door. ``retry``: True if the same call may succeed later."""

    exit: int
    http: int
    s3: str
    errno: int
    retry: bool = False


#: Most specific class first; :func:`rule_of` returns the first row in the order of an error's base classes.
RULES: dict[type[SheafError], Rule] = {
    InvalidInput: Rule(2, 400, "InvalidArgument", _errno.EINVAL),
    NotFound: Rule(3, 404, "NoSuchKey", _errno.ENOENT),
    AlreadyExists: Rule(4, 409, "BucketAlreadyExists", _errno.EEXIST),
    Conflict: Rule(4, 412, "PreconditionFailed", _errno.EBUSY),
    Refused: Rule(5, 409, "InvalidRequest", _errno.EPERM),
    Ambiguous: Rule(5, 409, "InvalidRequest", _errno.EINVAL),
    Unsupported: Rule(5, 501, "NotImplemented", _errno.ENOTSUP),
    Corrupt: Rule(6, 500, "InternalError", _errno.EIO),
    Repairable: Rule(7, 500, "InternalError", _errno.EIO),
    Unavailable: Rule(8, 503, "SlowDown", _errno.EIO, retry=True),
    Denied: Rule(9, 403, "AccessDenied", _errno.EACCES),
    NoSpace: Rule(10, 507, "QuotaExceeded", _errno.ENOSPC),
    Partial: Rule(11, 207, "InternalError", _errno.EIO),
    Bug: Rule(12, 500, "InternalError", _errno.EIO),
    SheafError: Rule(12, 500, "InternalError", _errno.EIO),
}


def rule_of(error: BaseException) -> Rule:
    """Return the row of :data:`RULES` for an error; foreign exceptions count as unexpected (exit 12)."""
    for cls in type(error).__mro__:
        if cls in RULES:
            return RULES[cls]
    return RULES[Bug]
