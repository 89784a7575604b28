"""The port: what Sheaf asks of a place that keeps bytes under keys.

Eight calls, one rule: **nothing is ever overwritten**, but for what is damaged, by repair (:meth:`Backend.replace`).
Whoever implements it passes ``sheaf.testing.conformance``.
This layer knows keys and bytes; it must never learn what a bundle, a pack or a record is.

Keys are ASCII ``[A-Za-z0-9._/-]``, segments separated by ``/``, no empty segment, none that is ``.`` or ``..``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from sheaf.errors import Unsupported

__all__ = ["LARGEST", "Backend", "Buffer", "Created", "Stat", "Unfinished"]

#: What may be written: bytes-like values. A sequence of them is written one after the other, as one object.
Buffer = bytes | bytearray | memoryview


#: The most bytes that are ever read as one object. A caller that knows the kind of an object gives a smaller limit.
LARGEST: Final = 1 << 30


class Created(enum.Enum):
    """The answer to a create. There is no "exists": it would not say whose bytes are there."""

    CREATED = "created"  #: this call made the object
    MINE = "mine"  #: the object is there with exactly these bytes (a lost answer, a repeated call)
    OTHER = "other"  #: the object is there with other bytes; it was not touched


@dataclass(frozen=True, slots=True)
class Stat:
    """One object of a listing; ``size`` in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Bytes outside of all keys that a write has left, or will take away when it ends.

    ``name``: where, below the place's root; ``size``: bytes that only this takes; ``kept``: why it can't be removed now,
    empty if it can, or was.
    """

    name: str
    size: int
    kept: str = ""


class Backend(ABC):
    """A store of immutable objects. Safe to use from many threads at once.

    Every method raises only ``sheaf.errors`` classes: ``NotFound`` (no such object), ``Denied`` (credentials, rights),
    ``NoSpace``, ``Unavailable`` (unreachable, timed out, throttled beyond the retries), ``Corrupt`` (an answer that
    contradicts itself, such as a short read), ``InvalidInput`` (a key that breaks the rules).
    """

    #: Where this is, for messages; carries no secret.
    url: str
    #: Whether :meth:`list` yields keys in ascending bytewise order at no extra cost.
    ordered: bool
    #: Whether a listing may be late (network file systems): seconds to wait before trusting "not listed". 0 = never.
    settle_s: float = 0.0

    @abstractmethod
    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        """Create an object unless the key exists. Durable when it returns.

        A lost answer is settled here: on "exists", conflict, time-out or a server error the exact key is read back and
        compared with ``data``; absent means that the create is tried again (bounded, with backoff).
        """

    @abstractmethod
    def get(self, key: str, limit: int = LARGEST) -> bytes:
        """The whole object. Raises ``NotFound``; ``Corrupt`` if it has more than ``limit`` bytes, which are not read."""

    @abstractmethod
    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        """Exactly these byte ranges ``(offset, length)``, in the order asked; near ones may be fetched together.

        Raises ``NotFound``; ``Corrupt`` if the object ends before a range does.
        """

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """The object's size, or None if there is none."""

    @abstractmethod
    def list(self, prefix: str = "", *, sort: bool = False) -> Iterator[Stat]:
        """All objects whose key starts with ``prefix`` (plain string prefix; usually ends in ``/``).

        In no promised order unless ``sort`` (then ascending bytewise). An object created before the call is in it.
        """

    @abstractmethod
    def newest(self, prefix: str) -> str | None:
        """The bytewise least key under ``prefix`` (numbered logs count downwards, so that is the newest), or None.

        One page of a listing where the store lists in order, a scan of names elsewhere.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; no error if it is not there. Only gc, erase and ends of sessions call this."""

    def prepare(self) -> None:  # noqa: B027 - most backends have nothing to look at
        """Prepare for the first create; called while something else is waited for."""

    def replace(self, key: str, data: Buffer) -> None:
        """Replace a damaged object in one step: the key is never free. Durable when it returns.

        For repair alone, which has verified the bytes and knows that those that are there can't be read. Whoever stands
        before another place and changes bytes must say for itself how this is done.

        Raises ``Unsupported`` where there is no such step.
        """
        raise Unsupported(f"{key} can't be replaced in {self.url}: it does not support atomic replacement")

    def unfinished(self, *, remove: bool = False) -> Sequence[Unfinished]:
        """List what writes have left outside of all keys, where this can happen.

        Args:
            remove: also remove what belongs to writers that are gone. The file of a writer that lives is never removed.
        """
        return []

    def close(self) -> None:  # noqa: B027 - most backends have nothing to give back
        """Release connections and file handles. The object can't be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
