"""The runs that a store records."""

from __future__ import annotations

import builtins

from sheaf.engine.context import Connected
from sheaf.engine.log.runs import end_run, get_run, list_runs, start_run
from sheaf.format.session_v1 import RunEnd, RunStart

__all__ = ["Runs"]


class Runs:
    """The runs of a store: :attr:`sheaf.Store.runs`. A run is the record of an execution with its inputs and outputs."""

    def __init__(self, connected: Connected) -> None:
        self._connected = connected
        self._core = connected.core

    def start(self, *, command: tuple[str, ...] = (), inputs: tuple[str, ...] = (), environment: dict[str, str]) -> str:
        """Record the start of a run; returns its id. ``inputs``: addresses such as ``repo@bundle:ID``."""
        self._connected.ensure_writable()
        id = self._core.clock.new_id()
        start_run(self._core, RunStart(id, self._core.now(), command, inputs, environment, self._core.author))
        return id

    def end(self, id: str, outcome: str, *, exit_code: int | None = None, outputs: tuple[str, ...] = ()) -> None:
        """Record the end of a run: ``succeeded``, ``failed`` or ``canceled``. Raises AlreadyExists, NotFound."""
        self._connected.ensure_writable()
        end_run(self._core, RunEnd(id, self._core.now(), outcome, exit_code, outputs))

    def get(self, id: str) -> tuple[RunStart, RunEnd | None]:
        """Return a run: its start and, if it has ended, its end. Raises NotFound."""
        return get_run(self._core, id)

    def list(self) -> builtins.list[str]:
        """Return the ids of all runs, oldest first."""
        return list_runs(self._core)
