"""Convert patterns of gitignore to regular expressions over bytes, with git's rules for brackets, stars and backslashes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["compile_pattern"]

_SPECIAL: Final = b"*?[\\"
_ALNUM: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_PRINT: Final = frozenset(range(0x20, 0x7F))
_CLASSES: Final = {
    b"alnum": _ALNUM,
    b"alpha": _ALNUM - frozenset(b"0123456789"),
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset({*range(0x20), 0x7F}),
    b"digit": frozenset(b"0123456789"),
    b"graph": _PRINT - {0x20},
    b"lower": frozenset(b"abcdefghijklmnopqrstuvwxyz"),
    b"print": _PRINT,
    b"punct": _PRINT - _ALNUM - {0x20},
    b"space": frozenset(b" \t\n\r"),
    b"upper": frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    b"xdigit": frozenset(b"0123456789abcdefABCDEF"),
}
_ALL: Final = frozenset(range(256))
_SLASH: Final = frozenset(b"/")


class _Malformed(Exception):
    """A pattern that never matches anything, as in git: a bracket that is not closed, an unknown class."""


def compile_pattern(pattern: bytes) -> re.Pattern[bytes] | None:
    """Return the expression for ``fullmatch`` of a path without a final slash; None if nothing can match."""
    literal = next((at for at, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))
    try:
        # Git compares the literal beginning by itself, so that `**` after it is at the beginning of a pattern.
        rest = _translated(pattern[literal:])
    except _Malformed:
        return None
    return re.compile(re.escape(pattern[:literal]) + rest, re.DOTALL)


def _translated(pattern: bytes) -> bytes:
    """Translate a pattern to a regular expression. Raises _Malformed."""
    out, at = [], 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            piece, at = _stars(pattern, at)
        elif byte == b"[":
            piece, at = _bracket(pattern, at + 1)
        elif byte == b"?":
            piece, at = b"[^/]", at + 1
        else:
            at += byte == b"\\"
            piece, at = re.escape(_byte(pattern, at)), at + 1
        out.append(piece)
    return b"".join(out)


def _byte(pattern: bytes, at: int) -> bytes:
    if at >= len(pattern):
        raise _Malformed
    return pattern[at : at + 1]


def _stars(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Translate stars. Two and more between slashes or ends match any number of folders, others a part of one name."""
    end = at
    while pattern[end : end + 1] == b"*":
        end += 1
    after = pattern[end : end + 2]
    is_bounded = (at == 0 or pattern[at - 1 : at] == b"/") and (after[:1] in (b"", b"/") or after == b"\\/")
    if end - at < 2 or not is_bounded:
        return b"[^/]*", end
    return (b"(?:.*/)?", end + 1) if after[:1] == b"/" else (b".*", end)


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Return the set that begins at ``at``, and where it ends. No set contains a slash."""
    is_negated = _byte(pattern, at) in (b"!", b"^")
    at += is_negated
    found: set[int] = set()
    before = -1  # the byte that begins a range
    first = at
    while at == first or _byte(pattern, at) != b"]":
        byte = _byte(pattern, at)
        is_range = byte == b"-" and before >= 0 and pattern[at + 1 : at + 2] not in (b"", b"]")
        if is_range:
            last, at = _plain(pattern, at + 1)
            found.update(range(before, last + 1))
            before = -1
        elif byte == b"[" and (named := _class(pattern, at)) is not None:
            found |= _CLASSES[named]
            at += len(named) + 4
            before = -1
        else:
            before, at = _plain(pattern, at)
            found.add(before)
    chosen = (_ALL - found if is_negated else frozenset(found)) - _SLASH
    return b"[" + b"".join(b"\\x%02x" % each for each in sorted(chosen)) + b"]" if chosen else b"(?!)", at + 1


def _plain(pattern: bytes, at: int) -> tuple[int, int]:
    """Return one byte of a set, without a backslash before it, and where the next one begins."""
    at += _byte(pattern, at) == b"\\"
    return _byte(pattern, at)[0], at + 1


def _class(pattern: bytes, at: int) -> bytes | None:
    """Return the name of the class that begins here, None if there is none. Raises _Malformed for an unknown one."""
    if pattern[at + 1 : at + 2] != b":":
        return None
    end = pattern.find(b"]", at + 2)
    if end < 0:
        raise _Malformed
    if end < at + 3 or pattern[end - 1 : end] != b":":
        return None
    name = pattern[at + 2 : end - 1]
    if name not in _CLASSES:
        raise _Malformed
    return name
