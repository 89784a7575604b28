"""The only module that reads the clock and generates random ids."""

from __future__ import annotations

import os
import time
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Protocol

from sheaf.errors import Corrupt
from sheaf.model.ids import ksuid

__all__ = ["Clock", "SystemClock", "parse_time", "rfc3339"]

_SHOWN = 100  # characters of an invalid time that a message shows


class Clock(Protocol):
    """Source of time and randomness for the engine. Tests pass one that they control."""

    def now_ns(self) -> int:
        """Return the time in nanoseconds since 1970, for people to read: no decision depends on it."""
        ...

    def new_id(self) -> str:
        """Return a new KSUID."""
        ...


class SystemClock:
    """The machine's clock and the kernel's random bytes."""

    def now_ns(self) -> int:
        return time.time_ns()

    def new_id(self) -> str:
        return ksuid(time.time_ns() // 10**9, os.urandom(16))


def rfc3339(ns: int) -> str:
    """Format nanoseconds since 1970 as ``2026-11-21T01:02:03.000004Z``."""
    moment = datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns % 10**9 // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Parse the format of :func:`rfc3339`; returns a timezone-aware time. Raises Corrupt.

    Times in the first and the last year of datetime are refused, because a change of the timezone could overflow.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Corrupt(f"{text[:_SHOWN]!r} is not a valid time", "run `sheaf store check`") from error
    if moment.tzinfo is None or not MINYEAR < moment.year < MAXYEAR:
        raise Corrupt(f"{text[:_SHOWN]!r} is not a valid time", "run `sheaf store check`")
    return moment
