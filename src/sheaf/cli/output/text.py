"""Format text for terminals: quoted control characters, times, sizes. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

__all__ = [
    "count_of",
    "exact_time",
    "first_of",
    "full_size",
    "go_time",
    "human_size",
    "quote",
    "redact",
    "short_time",
    "with_labels",
]

#: Unicode categories that could forge or garble a line: control, format (such as bidi), surrogate, line and paragraph
#: separator.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Surrogates for the bytes 0x80 to 0xff of a name that is not UTF-8.
_BYTES: Final = range(0xDC80, 0xDD00)
_NAMED: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@")


def quote(text: str) -> str:
    """Return text, in double quotes with escapes if it contains characters that are unsafe for a terminal or script."""
    if text.isascii() and text.isprintable() and not text.startswith('"'):
        return text
    if not text.startswith('"') and not any(unicodedata.category(char) in _UNSAFE for char in text):
        return text
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if unicodedata.category(char) not in _UNSAFE:
        return char
    code = ord(char)
    if _BYTES.start <= code < _BYTES.stop:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_time(moment: datetime) -> str:
    """Format a time as Datamon does, always UTC: ``2019-03-12 22:10:24.159704 +0000 UTC``."""
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{utc:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def exact_time(moment: datetime) -> str:
    """Format a time for scripts, as RFC 3339 in UTC with a fraction if there is one: ``2019-03-12T22:10:24.159704Z``."""
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def short_time(moment: datetime) -> str:
    """Format a time for tables, UTC to the second: ``2019-03-12 22:10:24Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def human_size(size_bytes: float) -> str:
    """Format a size in binary units with at most one decimal: ``0 B``, ``1.5 MiB``."""
    value = float(size_bytes)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def full_size(size_bytes: int) -> str:
    """Format a size, with all its digits if the unit hides some: ``285 B``, ``1.5 MiB (1600000 bytes)``."""
    return human_size(size_bytes) if size_bytes < 1024 else f"{human_size(size_bytes)} ({size_bytes} bytes)"


def count_of(count: int, what: str, many: str = "") -> str:
    """Return a count with its noun: ``1 bundle``, ``2 bundles``. ``many``: the plural, if it is not formed with an s."""
    return f"{count} {what if count == 1 else many or f'{what}s'}"


def first_of(names: Sequence[str], limit: int) -> str:
    """Join names by commas: only the first ``limit`` names, and the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def with_labels(what: str, labels: Iterable[str]) -> str:
    """Return ``5 bundles and labels v1, v2``; without labels, only ``what``."""
    named = [quote(label) for label in labels]
    return f"{what} and label{'' if len(named) == 1 else 's'} {first_of(named, 20)}" if named else what


def redact(text: str) -> str:
    """Return text without the user and password of URLs in it."""
    return _USERINFO.sub("…@", text)
