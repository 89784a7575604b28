"""Runs: a record of an execution's start, and one of its end. Both are written once and never changed."""

from __future__ import annotations

from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.errors import AlreadyExists, NotFound
from sheaf.format import keys
from sheaf.format.session_v1 import RunEnd, RunStart, seal, unseal
from sheaf.model.ids import is_ksuid
from sheaf.storage.port import Created

__all__ = ["end_run", "get_run", "list_runs", "start_run"]


def start_run(core: Core, run: RunStart) -> None:
    """Record the start of a run, under the run's id."""
    core.create(keys.run(run.id, "start"), seal("run-start", run))


def end_run(core: Core, end: RunEnd) -> None:
    """Record how a run ended. Raises AlreadyExists if its end is recorded already, NotFound if its start is not."""
    get_run(core, end.id)
    if core.backend.create(keys.run(end.id, "end"), seal("run-end", end)) is Created.OTHER:
        raise AlreadyExists(f"run {end.id} has already ended")


def get_run(core: Core, id: str) -> tuple[RunStart, RunEnd | None]:
    """Return a run's start record and, if it has ended, its end record. Raises NotFound."""
    key = keys.run(id, "start")
    try:
        start = unseal(get_object(core.backend, key), "run-start", RunStart, key)
    except NotFound:
        raise NotFound(f"run {id} not found") from None
    key = keys.run(id, "end")
    try:
        return start, unseal(get_object(core.backend, key), "run-end", RunEnd, key)
    except NotFound:
        return start, None


def list_runs(core: Core) -> list[str]:
    """Return the ids of all runs, oldest first by their clocks."""
    return sorted(id for id in {stat.key.split("/")[1] for stat in core.backend.list(keys.RUNS)} if is_ksuid(id))
