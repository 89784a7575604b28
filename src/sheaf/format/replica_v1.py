"""A replica's note of its primary, and a primary's notes about replicas that missed objects: sealed JSON."""

from __future__ import annotations

import msgspec

from sheaf.format.keys import MAX_RECORD

__all__ = ["Behind", "ReplicaNotice"]


class ReplicaNotice(msgspec.Struct, frozen=True):
    """Says that this location is a replica of ``primary``, while the epoch in its log is at most ``epoch``."""

    epoch: int
    primary: str
    time: str

    def __post_init__(self) -> None:
        if not 0 <= self.epoch <= MAX_RECORD:
            raise ValueError(f"invalid epoch {self.epoch}")


class Behind(msgspec.Struct, frozen=True):
    """Says that objects of this store may be missing in a replica until it has caught up."""

    replica: str
    reason: str
    time: str
