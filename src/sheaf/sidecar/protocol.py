"""The sidecar's part of the protocol as a pure state machine: no file, no process, no clock.

::

    STARTING --all data ready--> RUNNING --application finished--> SAVING --all saved--> SAVED
        |                           |                                |
        +--- failure, signal, time-out, application failed or lost --+----------------> FAILED

If unfinished data is to be saved, what ends RUNNING early leads to SAVING too, with ``trouble`` set; that ends in FAILED
in any case, so that the application never takes it for the result.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from sheaf.errors import Refused, SheafError, Unavailable

__all__ = ["ApplicationFailed", "Phase", "Seen", "Stage", "Terminated", "TimeLimits", "advance"]


class ApplicationFailed(Refused):
    """The application has failed, or shows no sign of life."""


class Terminated(Unavailable):
    """A signal has ended the sidecar before the application had finished."""


class Phase(enum.Enum):
    """How far a sidecar is."""

    STARTING = "starting"
    RUNNING = "running"
    SAVING = "saving"
    SAVED = "saved"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long each phase may last, in seconds; 0: without a limit. ``lost``: how long the application may be silent."""

    start: float = 3600
    run: float = 0
    save: float = 86_400
    lost: float = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the folder, the processes and the signals shows."""

    is_finished: bool = False
    application_failure: str | None = None
    beat: str = ""
    signals: int = 0
    is_ready: bool = False
    is_saved: bool = False
    trouble: SheafError | None = None
    #: What is being waited for, for the message of a time-out.
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The state. Times are seconds of a monotonic clock; ``trouble``: why it ends, or is going to end, in FAILED."""

    phase: Phase
    since: float
    beat: str = ""
    beat_since: float = 0
    trouble: SheafError | None = None

    @property
    def is_over(self) -> bool:
        return self.phase in (Phase.SAVED, Phase.FAILED)


def advance(state: Stage, seen: Seen, now: float, limits: TimeLimits, *, saves_unfinished: bool) -> Stage:
    """Return the next state."""
    if seen.beat != state.beat:
        state = replace(state, beat=seen.beat, beat_since=now)
    match state.phase:
        case Phase.STARTING:
            return _start(state, seen, now, limits)
        case Phase.RUNNING:
            return _run(state, seen, now, limits, saves_unfinished=saves_unfinished)
        case Phase.SAVING:
            return _save(state, seen, now, limits)
    return state


def _start(state: Stage, seen: Seen, now: float, limits: TimeLimits) -> Stage:
    if trouble := seen.trouble or _ending(state, seen, now, limits):
        return _to(state, Phase.FAILED, now, trouble)
    if seen.is_ready:
        return _to(state, Phase.RUNNING, now)
    if _is_over(state, now, limits.start):
        hint = "check the store, or raise the time-out with --start-timeout"
        return _to(state, Phase.FAILED, now, _too_long("the data is not ready", limits.start, seen, hint))
    return state


def _run(state: Stage, seen: Seen, now: float, limits: TimeLimits, *, saves_unfinished: bool) -> Stage:
    if seen.is_finished:  # before all else: what the application has finished is saved, whatever happened since
        return _to(state, Phase.SAVING, now)
    trouble = seen.trouble or _ending(state, seen, now, limits)
    if trouble is None and _is_over(state, now, limits.run):
        hint = "raise the time-out with --run-timeout"
        trouble = _too_long("the application has not finished", limits.run, seen, hint)
    if trouble is None:
        return state
    return _to(state, Phase.SAVING if saves_unfinished else Phase.FAILED, now, trouble)


def _save(state: Stage, seen: Seen, now: float, limits: TimeLimits) -> Stage:
    if seen.trouble is not None:
        return _to(state, Phase.FAILED, now, seen.trouble)
    if seen.is_saved:
        return _to(state, Phase.FAILED if state.trouble else Phase.SAVED, now, state.trouble)
    if seen.signals > 1:  # the first one lets what was written be saved
        return _to(state, Phase.FAILED, now, _terminated("the data was saved"))
    if _is_over(state, now, limits.save):
        hint = "raise the time-out with --save-timeout; a new upload sends only what is missing"
        return _to(state, Phase.FAILED, now, _too_long("the data is not saved", limits.save, seen, hint))
    return state


def _ending(state: Stage, seen: Seen, now: float, limits: TimeLimits) -> SheafError | None:
    """The error if the application or a signal ends the run; None if neither does."""
    if seen.application_failure is not None:
        return ApplicationFailed(f"application: {seen.application_failure}", "see the log of the application")
    if seen.signals:
        return _terminated("the application had finished")
    if state.beat and limits.lost and now - state.beat_since >= limits.lost:
        hint = "it was probably killed: see the state of its container"
        return ApplicationFailed(f"application: no sign of life for {limits.lost:g} s", hint)
    return None


def _terminated(event: str) -> Terminated:
    return Terminated(f"sidecar: terminated before {event}", "run it again")


def _is_over(state: Stage, now: float, limit: float) -> bool:
    return limit > 0 and now - state.since >= limit


def _too_long(what: str, limit: float, seen: Seen, hint: str) -> Unavailable:
    waited = f" (waiting for {seen.waits_for})" if seen.waits_for else ""
    return Unavailable(f"sidecar: {what} after {limit:g} s{waited}", hint)


def _to(state: Stage, phase: Phase, now: float, trouble: SheafError | None = None) -> Stage:
    return replace(state, phase=phase, since=now, trouble=trouble)
