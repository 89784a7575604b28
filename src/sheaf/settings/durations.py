"""Parse durations such as 30m, and moments."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from sheaf.engine.clock import SystemClock
from sheaf.errors import InvalidInput

__all__ = ["parse_duration", "parse_moment"]

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw]?)", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Parse ``90``, ``30m``, ``12h``, ``7d`` or ``2w`` into seconds. Raises InvalidInput."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise InvalidInput(f"'{text}' is not a duration", "write a number and a unit, such as 30m, 12h or 7d")
    return float(match[1]) * _SECONDS[match[2].lower()]


def parse_moment(text: str) -> datetime:
    """Parse a date, a time (UTC by default), or an age before now. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(SystemClock().now_ns() / 1e9 - parse_duration(text), UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
