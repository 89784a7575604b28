"""The port: the calls that Sheaf needs from a location that stores bytes under keys.

Eight calls and one rule: **nothing is ever overwritten**, except that repair replaces damaged objects
(:meth:`Backend.replace`). Every implementation must pass ``sheaf.testing.conformance``.
This layer knows keys and bytes; it must never learn what a bundle, a pack or a record is.

Keys are ASCII ``[A-Za-z0-9._/-]``, segments separated by ``/``, no empty segment, none that is ``.`` or ``..``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, Self

from msgspec import Struct

from sheaf.errors import Unsupported

__all__ = ["LARGEST", "Backend", "Buffer", "Created", "Stat", "Unfinished"]

#: The values that may be written: bytes-like. Of a sequence, all are written one after the other, as one object.
Buffer = bytes | bytearray | memoryview


#: The most bytes that are ever read as one object. A caller that knows an object's kind passes a smaller limit.
LARGEST: Final = 1 << 30


class Created(enum.Enum):
    """The result of a create. There is no "exists", since it would not say whose bytes the key has."""

    CREATED = "created"  #: this call created the object
    MINE = "mine"  #: the object exists with exactly these bytes (a lost answer, or a repeated call)
    OTHER = "other"  #: the object exists with other bytes; it was not changed


class Stat(Struct, frozen=True):
    """One object of a listing; ``size`` in bytes."""

    key: str
    size: int


class Unfinished(Struct, frozen=True):
    """Bytes outside of all keys that a write has left behind, or will remove when it ends.

    ``name``: the path below the location's root; ``size``: bytes that only this occupies; ``kept``: why it can't be
    removed now, empty if it can or has been.
    """

    name: str
    size: int
    kept: str = ""


class Backend(ABC):
    """Stores immutable objects. Safe to use from many threads at the same time.

    Every method raises only ``sheaf.errors`` classes: ``NotFound`` (no such object), ``Denied`` (credentials, rights),
    ``NoSpace``, ``Unavailable`` (unreachable, timed out, throttled beyond the retries), ``Corrupt`` (an answer that
    contradicts itself, such as a short read), ``InvalidInput`` (a key that breaks the rules).
    """

    #: The location's URL for messages; contains no secret.
    url: str
    #: Whether :meth:`list` yields keys in ascending bytewise order at no extra cost.
    ordered: bool
    #: Seconds to wait before trusting "not listed", where listings may be late (network file systems); else 0.
    settle_s: float = 0.0

    @abstractmethod
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        """Create an object unless the key exists. Durable when it returns.

        A lost answer is resolved here: on "exists", conflict, time-out or a server error the exact key is read back and
        compared with ``data``; if it does not exist, the create is tried again (bounded, with backoff).
        """

    @abstractmethod
    def get(self, key: str, limit: int = LARGEST) -> bytes:
        """Read a whole object. Raises ``NotFound``; ``Corrupt`` without reading it if it has more than ``limit`` bytes."""

    @abstractmethod
    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        """Read byte ranges ``(offset, length)``, in the order given; near ones may be fetched together.

        Raises ``NotFound``; ``Corrupt`` if the object ends before a range does.
        """

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Return the object's key and size, or None if it does not exist."""

    @abstractmethod
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        """Yield all objects whose key starts with ``prefix`` (plain string prefix; usually ends in ``/``).

        The order is arbitrary unless ``sort`` (then ascending bytewise). Objects created before the call are included.
        """

    @abstractmethod
    def newest(self, prefix: str) -> str | None:
        """Return the bytewise least key under ``prefix``, or None (numbered logs count downwards, so it is the newest record).

        Costs one page of a listing where the store lists in order, else a scan of all names.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; no error if it does not exist. Only gc, erase and the ends of sessions call this."""

    def prepare(self, prefix: str) -> None:  # noqa: B027 - most backends have nothing to prepare
        """Check what the next create depends on, such as the state of replicas; called while other requests are running.

        ``prefix``: that of the key which is created next.
        """

    def replace(self, key: str, data: Buffer) -> None:
        """Replace a damaged object in one step, so that its key exists at every moment. Durable when it returns.

        Only repair calls this, after it has verified the new bytes and found that the stored ones can't be read. A wrapper
        that changes bytes must implement it itself.

        Raises ``Unsupported`` where the storage has no such step.
        """
        raise Unsupported(f"{key} can't be replaced in {self.url}: it does not support atomic replacement")

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        """List the leftovers of writes outside of all keys; empty where there can't be any.

        Args:
            remove: also remove the leftovers of writers that have ended. The file of a running writer is never removed.
        """
        return []

    def close(self) -> None:  # noqa: B027 - most backends have nothing to release
        """Release connections and file handles. The object can't be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
