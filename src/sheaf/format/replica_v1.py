"""What a place says about being a copy, and what a primary notes about copies that missed something: sealed JSON."""

from __future__ import annotations

import msgspec

from sheaf.format.keys import MAX_RECORD

__all__ = ["Behind", "ReplicaNotice"]


class ReplicaNotice(msgspec.Struct, frozen=True):
    """This place is a copy of ``primary`` as long as the epoch in its log is not above ``epoch``."""

    epoch: int
    primary: str
    time: str

    def __post_init__(self) -> None:
        if not 0 <= self.epoch <= MAX_RECORD:
            raise ValueError(f"invalid epoch {self.epoch}")


class Behind(msgspec.Struct, frozen=True):
    """Objects of this store may be missing in a replica, until it has caught up."""

    replica: str
    reason: str
    time: str
