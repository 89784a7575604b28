"""The time for which gc waits for open sessions. Safety never depends on it."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sheaf.format.session_v1 import Session

__all__ = ["Decision", "GracePeriod", "Waiting", "uptime_s"]

_POLL_S = 5.0


class Decision(enum.Enum):
    """What gc does about sessions that are still open."""

    WAIT = "look again"
    END = "the grace is over: end them"
    LEAVE = "leave the generation to a later gc"


class Waiting(Protocol):
    """A callback that decides what gc does about open sessions."""

    def __call__(self, sessions: list[Session]) -> Decision:
        """Decide about these open sessions. May sleep before it returns WAIT."""
        ...

    def settle(self, seconds: float) -> None:
        """Wait so many seconds, during which a listing may be late."""
        ...


def uptime_s() -> float:
    """Seconds since boot, including time asleep; changes of the system's clock do not affect it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class GracePeriod:
    """Gives each session ``grace_s`` seconds from the moment that it is first seen.

    Args:
        waits: False leaves a generation pending instead of waiting.
        on_wait: called with the sessions whenever gc waits for them.
    """

    grace_s: float = 3600.0
    waits: bool = True
    on_wait: Callable[[list[Session]], None] = lambda sessions: None
    now: Callable[[], float] = uptime_s
    sleep: Callable[[float], None] = time.sleep
    _since: dict[str, float] = field(default_factory=dict)

    def __call__(self, sessions: list[Session]) -> Decision:
        """See :class:`Waiting`."""
        now = self.now()
        left = max(self._since.setdefault(session.id, now) + self.grace_s - now for session in sessions)
        if left <= 0:
            return Decision.END
        self.on_wait(sessions)
        if not self.waits:
            return Decision.LEAVE
        self.sleep(min(left, _POLL_S))
        return Decision.WAIT

    def settle(self, seconds: float) -> None:
        """See :class:`Waiting`."""
        self.sleep(seconds)
