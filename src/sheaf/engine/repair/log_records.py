"""Restore missing or damaged records from copies of their log. A record is written only if it continues the previous one."""

from __future__ import annotations

from collections.abc import Iterable

from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.engine.objects import get_object
from sheaf.engine.repair.restore_objects import Restoration
from sheaf.engine.replicas.replica_records import copied_up_to
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.record_v1 import decode_record
from sheaf.model.records import Record
from sheaf.storage.port import Backend

__all__ = ["restore_logs"]

_AT_ONCE = 256  # records read at a time


def restore_logs(restoration: Restoration, *, may_grow: bool) -> None:
    """Repair the store's log, then that of each repo.

    Args:
        may_grow: also fetch records after the newest one here, which is right if the copies got them from here.

    Raises:
        Corrupt: the store's log can't be repaired, so the repos are unknown.
    """
    _restore(restoration, keys.STORE_LOG, may_grow)
    for repo in _repos(restoration):
        _restore(restoration, keys.repo(repo), may_grow)


def _repos(restoration: Restoration) -> Iterable[str]:
    try:
        return list(store_log(restoration.core).head().state.repos)
    except (Corrupt, NotFound):
        if not restoration.is_dry:
            raise
    # A dry run doesn't repair the store's log, so ask a copy for the repos.
    for source in restoration.sources:
        return list(store_log(Core(source, restoration.core.config, io=restoration.core.io)).head().state.repos)
    return []


def _restore(restoration: Restoration, base: str, may_grow: bool) -> None:
    """Restore the missing and damaged records of one log. Does nothing if it has diverged from a copy."""
    here = copied_up_to(restoration.core.backend, base)
    ends = [copied_up_to(source, base) for source in restoration.sources]
    if any(
        _are_apart(restoration, source, base, min(here, end))
        for source, end in zip(restoration.sources, ends, strict=True)
    ):
        return
    there = max(ends) if may_grow else -1
    before: Record | None = None
    for start in range(0, max(here, there) + 1, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, max(here, there) + 1))
        found = restoration.core.io.map(lambda n: _sound(restoration.core.backend, base, n), numbers)
        for n, record in zip(numbers, found, strict=True):
            after = record or _restored(restoration, base, n, before)
            if after is None and n > here:
                # A record can only follow the previous one, so later ones can't be written either.
                return
            if record is not None and before is not None and before.n == n - 1 and record.prev != before.write:
                restoration.failed[keys.log_record(base, n)] = _APART
            before = after


def _are_apart(restoration: Restoration, source: Backend, base: str, n: int) -> bool:
    """True if both logs have this record, but with different contents."""
    ours, theirs = (_sound(backend, base, n) for backend in (restoration.core.backend, source))
    if ours is None or theirs is None or ours.write == theirs.write:
        return False
    restoration.failed[keys.log_record(base, n)] = f"{source.url} has a different record: {_APART}"
    return True


_APART = "the logs have diverged and can't be merged"


def _sound(backend: Backend, base: str, n: int) -> Record | None:
    key = keys.log_record(base, n)
    try:
        record = decode_record(get_object(backend, key), key)
    except (Corrupt, NotFound):
        return None
    return record if record.n == n else None


def _restored(restoration: Restoration, base: str, n: int, before: Record | None) -> Record | None:
    """Restore one record from a copy that continues record ``before`` and precedes the next one here. None: there is none."""
    key = keys.log_record(base, n)
    after = _sound(restoration.core.backend, base, n + 1)

    def accept(data: bytes) -> None:
        record = decode_record(data, key)
        follows = before is None or before.n != n - 1 or record.prev == before.write
        leads = after is None or after.prev == record.write
        if not (follows and leads):
            raise Corrupt(_APART)

    data = restoration.restore(key, accept)
    return None if data is None else decode_record(data, key)
