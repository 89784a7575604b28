"""Find the replicas of a store, even if its log is damaged."""

from __future__ import annotations

from sheaf.engine.check.report import FAULTS
from sheaf.engine.objects import get_object
from sheaf.format.record_v1 import decode_record
from sheaf.storage.port import Backend

__all__ = ["known_replicas"]


def known_replicas(backend: Backend) -> list[str] | None:
    """Return the URLs in the newest readable record of the store's log.

    Returns None if that is not the newest record and names no replicas, or if no record is readable.
    """
    for n, stat in enumerate(backend.list("log/", sort=True)):
        try:
            record = decode_record(get_object(backend, stat.key), stat.key)
        except FAULTS:
            continue
        if isinstance(record.state, dict):
            urls = list(record.state.get("replicas", ()))
            return urls if urls or not n else None
        for op in record.ops:
            if isinstance(op, dict) and op.get("op") == "set-replicas":
                return list(op.get("urls", ()))
    return None
