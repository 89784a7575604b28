"""Times as Datamon's datamover reads and writes them, in the local time zone."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from sheaf.engine.clock import SystemClock
from sheaf.errors import InvalidInput
from sheaf.settings.durations import parse_duration

__all__ = ["date_stamp", "now", "parse_time_before", "time_stamp"]

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE: Final = re.compile(r"([0-9]{4})-([A-Za-z]{3})-([0-9]{1,2})")
_DIGITS: Final = re.compile(r"[0-9]{10}(?:[0-9]{2})?")
_CENTURY: Final = 69  #: years of two digits from here on are in the 20th century, as in Go
_HINT: Final = "write a local time such as 2006-Jan-02, 0601021504 or 060102150405, or an age such as 20d"


def parse_time_before(text: str, now_ns: int) -> int:
    """Parse a time in the local zone, or an age, into nanoseconds since 1970. Raises InvalidInput.

    A time that the clock shows twice, or not at all, is the earlier of both readings: fewer files are older.
    """
    text = text.strip()
    try:
        return _nanoseconds(_moment(text))
    except (ValueError, OverflowError, OSError) as error:
        if not text.isdigit() and not isinstance(error, OverflowError | OSError):
            try:
                return now_ns - int(parse_duration(text) * 1e9)
            except InvalidInput:
                pass
        raise InvalidInput(f"'{text}' is not a time", _HINT) from error


def _moment(text: str) -> datetime:
    if match := _DATE.fullmatch(text):
        return datetime(int(match[1]), _MONTHS.index(match[2].lower()) + 1, int(match[3]))
    if _DIGITS.fullmatch(text):
        numbers = [int(text[at : at + 2]) for at in range(0, len(text), 2)]
        year, month, day, hour, minute, second = (*numbers, 0)[:6]
        return datetime(year + (1900 if year >= _CENTURY else 2000), month, day, hour, minute, second)
    if text.isdigit():
        raise ValueError(text)  # else Python reads eight digits as a date
    return datetime.fromisoformat(text)


def _nanoseconds(moment: datetime) -> int:
    if moment.tzinfo is not None:
        return int(moment.timestamp() * 1e6) * 1000
    return int(min(moment.replace(fold=fold).timestamp() for fold in (0, 1)) * 1e6) * 1000


def time_stamp(now_ns: int) -> str:
    """Format a time for labels, in the local zone: ``060102150405``."""
    return f"{_local(now_ns):%y%m%d%H%M%S}"


def date_stamp(now_ns: int) -> str:
    """Format a date for labels, in the local zone: ``2006-jan-02``."""
    moment = _local(now_ns)
    return f"{moment.year:04d}-{_MONTHS[moment.month - 1]}-{moment.day:02d}"


def _local(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns // 10**9).astimezone()


def now() -> int:
    """Return the time in nanoseconds since 1970."""
    return SystemClock().now_ns()
