"""The loop of a sidecar: look, let the protocol decide, act."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from sheaf.errors import Bug, SheafError
from sheaf.sidecar.children import Children, Signals
from sheaf.sidecar.coordination import CoordinationFolder, CoordinationFolders
from sheaf.sidecar.protocol import Phase, Seen, Stage, TimeLimits, advance

__all__ = ["Behaviour", "Sidecar", "Supervision"]

#: The application takes a sidecar for lost that shows no sign of life for 60 s, its default.
_LONGEST_SILENCE_S: Final = 10.0


class Sidecar(Protocol):
    """What a kind of sidecar does. No call may block; all but ``save`` and ``stop`` are called again and again."""

    @property
    def waits_for(self) -> str:
        """What is being waited for, for messages."""
        ...

    @property
    def bundles(self) -> list[str]:
        """Ids of the bundles that were committed."""
        ...

    def is_ready(self) -> bool:
        """Whether the application may start. Raises SheafError if that will never be."""
        ...

    def watch(self) -> None:
        """Keep what the application uses. Raises SheafError if it can't be kept."""
        ...

    def save(self, *, is_unfinished: bool) -> None:
        """Begin to save."""
        ...

    def is_saved(self) -> bool:
        """Whether all is saved. Raises SheafError if it can't be."""
        ...

    def stop(self) -> None:
        """End all processes; may take seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a sidecar behaves. ``stays``: after its end it waits for a signal, or ``stay_s`` seconds if that is not 0."""

    limits: TimeLimits = field(default_factory=TimeLimits)
    poll_s: float = 1.0
    saves_unfinished: bool = False
    stays: bool = False
    stay_s: float = 0


class Supervision:
    """Runs one sidecar from the first look at the coordination folder to the end of its processes."""

    def __init__(
        self,
        sidecar: Sidecar,
        folder: CoordinationFolder | CoordinationFolders,
        behaviour: Behaviour,
        children: Children,
        signals: Signals,
        report: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sidecar = sidecar
        self._folder = folder
        self._behaviour = behaviour
        self._children = children
        self._signals = signals
        self._report = report
        self._now = now

    def run(self) -> None:
        """Return when all is saved. Raises SheafError if not; the coordination folder says so, too."""
        try:
            self._folder.claim()
        except SheafError as error:
            self._folder.fail(error)  # an application that has started on an old event has to end
            raise
        trouble: SheafError | None = Bug("the sidecar has ended unexpectedly")
        try:
            trouble = self._supervise()
        except SheafError as error:
            trouble = error
        finally:
            if trouble is not None:
                self._folder.fail(trouble)
            self._sidecar.stop()
        if self._behaviour.stays:
            self._stay()
        if trouble is not None:
            raise trouble

    def _supervise(self) -> SheafError | None:
        """Go through all phases. Returns why it failed, None if all is saved."""
        state = Stage(Phase.STARTING, self._now())
        while not state.is_over:
            self._folder.beat()
            before = state.phase
            seen = self._look(before)
            state = advance(
                state, seen, self._now(), self._behaviour.limits, saves_unfinished=self._behaviour.saves_unfinished
            )
            if state.phase != before:
                self._enter(state)
            if not state.is_over and state.phase == before:
                self._children.wait(min(self._behaviour.poll_s, _LONGEST_SILENCE_S))
        return self._with_bundles(state.trouble)

    def _look(self, phase: Phase) -> Seen:
        is_ready = is_saved = False
        trouble = None
        failure, beat = self._folder.application_failure, self._folder.application_beat
        is_finished = self._folder.is_finished  # after the failure: the application writes one of them only
        try:
            match phase:
                case Phase.STARTING:
                    is_ready = self._sidecar.is_ready()
                case Phase.RUNNING:
                    self._sidecar.watch()
                case Phase.SAVING:
                    is_saved = self._sidecar.is_saved()
        except SheafError as error:
            trouble = error
        count = self._signals.count
        return Seen(is_finished, failure, beat, count, is_ready, is_saved, trouble, self._sidecar.waits_for)

    def _enter(self, state: Stage) -> None:
        names = self._folder.names
        match state.phase:
            case Phase.RUNNING:
                self._folder.emit(names.ready)
                self._report(f"sidecar: the data is ready ({names.ready})")
            case Phase.SAVING:
                if state.trouble is not None:
                    self._report(f"sidecar: {state.trouble.message}; saving what is there")
                else:
                    self._report(f"sidecar: the application has finished ({names.finished})")
                self._sidecar.save(is_unfinished=state.trouble is not None)
            case Phase.SAVED:
                self._folder.emit(names.saved)
                self._report(f"sidecar: all data is saved ({names.saved})")

    def _with_bundles(self, trouble: SheafError | None) -> SheafError | None:
        """The error, with what was saved in spite of it."""
        if trouble is None or not self._sidecar.bundles:
            return trouble
        saved = ", ".join(self._sidecar.bundles)
        return type(trouble)(f"{trouble.message}; saved: {saved}", trouble.hint)

    def _stay(self) -> None:
        self._report("sidecar: it stays until it is terminated")
        until = self._now() + self._behaviour.stay_s
        while not self._signals.count and not (self._behaviour.stay_s and self._now() >= until):
            self._children.wait(self._behaviour.poll_s)
