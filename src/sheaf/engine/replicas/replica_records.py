"""Copy records from one location to another: in order, each only after everything that it needs."""

from __future__ import annotations

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.engine.objects import get_object
from sheaf.errors import Conflict, NotFound
from sheaf.format import keys
from sheaf.format.record_v1 import decode_record
from sheaf.format.replica_v1 import ReplicaNotice
from sheaf.format.sealed import seal, unseal
from sheaf.format.store_v1 import decode_config
from sheaf.model.records import StoreState
from sheaf.storage.port import Backend, Created

__all__ = [
    "copied_up_to",
    "copy_log",
    "copy_notice",
    "copy_of",
    "end_epoch",
    "is_copy",
    "newest_common_record",
    "state_of",
]


def state_of(core: Core) -> StoreState:
    """The current state in a location's own log."""
    return store_log(core).head().state


def copied_up_to(backend: Backend, base: str) -> int:
    """The number of the newest record of a log in a location; -1 if it has none."""
    newest = backend.newest(f"{base}log/")
    return -1 if newest is None else keys.record_number(newest)


def newest_common_record(source: Backend, target: Backend, base: str, last: int) -> int:
    """The number of the target's newest record. Raises Conflict if its log is not a beginning of the source's."""
    newest = copied_up_to(target, base)
    common = min(newest, last)
    if common >= 0:
        key = keys.log_record(base, common)
        try:
            is_same = get_object(source, key) == get_object(target, key)
        except NotFound:
            is_same = False
        if not is_same:
            raise _diverged(source, target, key)
    return newest


def copy_log(source: Backend, target: Backend, base: str, last: int) -> int:
    """Copy the records of a log up to ``last`` that the target lacks; return their number.

    Raises:
        Conflict: the target's log is not a beginning of the source's.
    """
    first = newest_common_record(source, target, base, last) + 1
    for n in range(first, last + 1):
        key = keys.log_record(base, n)
        data = get_object(source, key)
        # A record that is damaged here must not be copied over.
        decode_record(data, key)
        if target.create(key, data) is Created.OTHER:
            raise _diverged(source, target, key)
    return max(0, last + 1 - first)


def _diverged(source: Backend, target: Backend, key: str) -> Conflict:
    return Conflict(
        f"{target.url} has diverged from {source.url}: they differ at {key}",
        "one of them was promoted while the other accepted writes, and they can't be merged: keep the right one, and "
        "recreate the other in an empty location",
    )


def copy_of(backend: Backend) -> str:
    """The id of the store that a location contains; empty if it contains none."""
    try:
        return decode_config(get_object(backend, keys.CONFIG)).id
    except NotFound:
        return ""


def end_epoch(backend: Backend, epoch: int, primary: str, time: str) -> None:
    """Stop writes to this location unless its log's epoch is above ``epoch``."""
    backend.create(keys.replica(epoch), seal("replica", ReplicaNotice(epoch, primary, time)))


def is_copy(backend: Backend, epoch: int) -> ReplicaNotice | None:
    """The notice that makes a location with this epoch in its log a copy; None if it accepts writes."""
    return copy_notice(backend, epoch, backend.newest(keys.REPLICA))


def copy_notice(backend: Backend, epoch: int, newest: str | None) -> ReplicaNotice | None:
    """The same for a caller that has already listed the key of the ``newest`` notice."""
    if newest is None or keys.replica_epoch(newest) < epoch:
        return None
    return unseal(get_object(backend, newest), "replica", ReplicaNotice, newest)
