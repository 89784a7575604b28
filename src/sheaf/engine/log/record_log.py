"""Logs: numbered, create-only records. The newest record defines the state, and creating a record is the commit.

An append reads the head, lets the caller decide on operations, and creates record n + 1 if no other writer has. The loser
reads the record that won, decides again, and tries n + 2; so independent changes never conflict for the user.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec
from msgspec import Struct

from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, NotFound, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.limits import ensure_fits
from sheaf.format.record_v1 import (
    PAGE_RECORDS,
    decode_ops,
    decode_page,
    decode_record,
    encode_page,
    encode_record,
    merge,
    patch,
)
from sheaf.model.records import Record, RefTarget, RepoOp, RepoState, StoreOp, StoreState, replay
from sheaf.storage.port import Created

__all__ = ["Head", "Log", "repo_log", "store_log"]

_SMALL = 4 * 1024  # bytes of state up to which every record is a checkpoint
_DELTAS = 2  # the most deltas between a record and its checkpoint, since a reader fetches one record for each
_PART = 4  # if a delta is longer than the state divided by this, a checkpoint is written instead
_REMEMBERED = 2 * PAGE_RECORDS  # records kept in memory, without their states
_TOGETHER = 256  # records that are read at the same time when all are needed
_STEPS = 8  # records to read one by one before asking the store for the newest one


class LogState(Protocol):
    """The state that the records of a log add up to."""

    def apply(self, op: Any, origin: RefTarget) -> Self: ...
    def pruned(self) -> Self: ...


S = TypeVar("S", bound=LogState)
Op = TypeVar("Op")


class Base(Struct, frozen=True):
    """A record from which the delta of a later one may start, and the state after it as JSON."""

    n: int
    state: dict[str, Any]


class Head(Struct, Generic[S], frozen=True):
    """A log as of record ``n`` (-1: empty). ``bases``: the possible bases of the next record's delta, a checkpoint first."""

    n: int
    write: str
    state: S
    bases: tuple[Base, ...] = ()


class Log(Generic[S, Op]):
    """One log. Not safe for use by two threads at the same time."""

    def __init__(self, core: Core, base: str, empty: S, ops: type[Op]) -> None:
        self._core = core
        self._base = base
        self.empty = empty  #: the state before the first record
        self._ops = ops
        self._head: Head[S] | None = None
        self._listed: int | None = None  # number of the newest record, by a listing made in advance; -1: it showed none
        self._slim: OrderedDict[int, Record] = OrderedDict()

    def head(self) -> Head[S]:
        """Return the newest head, after reading the records that are new. Raises Corrupt."""
        head = self._head
        if head is None:
            head, is_current = self._begin()
            if is_current:
                self._head = head
                return head
        while True:
            for _ in range(_STEPS):
                record = self._find(head.n + 1)
                if record is None:
                    self._head = head
                    return head
                head = self._next(head, record)
            # A listing may be late. The head must never become older.
            head = max(head, self._jump(), key=lambda found: found.n)

    @property
    def last(self) -> S:
        """The state at the last call of :meth:`head` or :meth:`append`, which may be a while ago."""
        return self._head.state if self._head else self.empty

    @property
    def known(self) -> Head[S] | None:
        """The head at the last call of :meth:`head` or :meth:`append`; None before the first."""
        return self._head

    def least(self) -> int:
        """Return the number of a record that the log has, as new as is known; asks the store only if nothing is known."""
        if self._seen is None:
            self.prefetch()
        return -1 if self._seen is None else self._seen

    @property
    def _seen(self) -> int | None:
        """The number of the newest record that was read or listed; None if nothing was asked yet."""
        return self._head.n if self._head is not None else self._listed

    def resume(self, head: Head[S]) -> None:
        """Start from a head that another reader of the same log has read; :meth:`head` then asks for newer records."""
        if self._head is None or self._head.n < head.n:
            self._head = head

    def prefetch(self) -> None:
        """List in advance of the first :meth:`head`, which then needs only one round trip."""
        if self._head is None:
            self.expect(self._core.backend.newest(f"{self._base}log/"))

    def expect(self, newest: str | None) -> None:
        """Use the newest key of a listing that the caller has made, as :meth:`look` does with its own."""
        self._listed = self._number(newest) if newest is not None else -1

    def append(
        self, decide: Callable[[Head[S]], tuple[Op, ...]], *, concurrently: Callable[[], object] = lambda: None
    ) -> Head[S]:
        """Commit the operations that ``decide`` returns for the head; it is called again if another record came first.

        ``concurrently`` is called while the head is read; if it raises, nothing is appended.

        Raises:
            Conflict, NotFound, AlreadyExists: the operations don't fit the log; nothing was written.
        """
        seen = self._seen
        asked = self._core.io.submit(self._ask, concurrently)
        while True:
            head = self.head()
            asked.result()
            ops = decide(head)
            record, composed = self._compose(head, ops)
            key = keys.log_record(self._base, record.n)
            data = encode_record(record)
            ensure_fits(key, len(data))
            if head.n != seen:
                # A promotion ends each log with a record. If that is the head, this store may have become a replica
                # after it was asked; if the head was known before, the promotion's record takes the number of this one.
                self._core.backend.prepare(f"{self._base}log/")
            if self._core.backend.create(key, data) is not Created.OTHER:
                self._remember(record)
                self._head = composed
                return self._head

    def _ask(self, concurrently: Callable[[], object]) -> None:
        """Ask what a record depends on outside of this log; ``concurrently`` may use what the backend has read for it."""
        self._core.backend.prepare(f"{self._base}log/")
        concurrently()

    def records(self, first: int = 0, last: int | None = None) -> Iterator[Record]:
        """Yield all records from ``first`` to ``last`` (default: the current head), oldest first, with decoded operations.

        Whole pages are read where they exist.
        """
        n, last = first, self.head().n if last is None else last
        while n <= last:
            page_end = (n // PAGE_RECORDS + 1) * PAGE_RECORDS - 1
            chunk = self._page(n // PAGE_RECORDS) if page_end <= last else self._several(range(n, last + 1))
            for record in chunk:
                if n <= record.n <= last:
                    yield self._decoded(record)
            n = page_end + 1

    def originals(self, last: int) -> Iterator[Record]:
        """Yield all records up to ``last``, oldest first, from the store itself, since pages and caches are copies.

        Raises:
            Corrupt: a record is missing or damaged.
        """
        for start in range(0, last + 1, _TOGETHER):
            numbers = range(start, min(start + _TOGETHER, last + 1))
            yield from map(self._decoded, self._core.io.map(lambda n: _slim(self._held(n, cached=False)), numbers))

    def roll(self) -> None:
        """Write the newest page if it is complete and missing; failures are ignored."""
        k = ((self._head or self.head()).n + 1) // PAGE_RECORDS - 1
        if k < 0:
            return
        try:
            if self._core.backend.stat(keys.log_page(self._base, k)) is None:
                self._write_page(k)
        except SheafError:
            return

    # -- reading -------------------------------------------------------------------------------------------------------

    def _begin(self) -> tuple[Head[S], bool]:
        """A first head, and whether it is certainly the newest one."""
        if self._listed is None:
            self.prefetch()
        if self._listed is None or self._listed < 0:
            return Head(-1, "", self.empty), False
        # A listing may be late, so check that no record follows the one that it shows.
        follows = self._core.io.submit(self._is_there, self._listed + 1)
        head = self._at(self._listed)
        return head, not follows.result()

    def _jump(self) -> Head[S]:
        key = self._core.backend.newest(f"{self._base}log/")
        return self._at(self._number(key)) if key is not None else Head(-1, "", self.empty)

    def _at(self, n: int) -> Head[S]:
        """The head as of record ``n``, which was listed."""
        ways = [self._held(n)]
        while ways[-1].state is None:
            if len(ways) > _DELTAS or not 0 <= ways[-1].since < ways[-1].n:
                raise Corrupt(
                    f"{keys.log_record(self._base, n)} does not lead to a checkpoint", "run `sheaf store check`"
                )
            ways.append(self._held(ways[-1].since))
        whole: dict[str, Any] = {}
        bases: tuple[Base, ...] = ()
        self._remember(ways[0])
        for record in reversed(ways):
            whole, bases = self._added(bases, record)
        return Head(n, ways[0].write, self._state(whole, keys.log_record(self._base, n)), bases)

    def _number(self, key: str) -> int:
        n = keys.record_number(key)
        if key != keys.log_record(self._base, n):
            raise Corrupt(f"{key} is not a record", "remove it from the store")
        return n

    def _next(self, head: Head[S], record: Record) -> Head[S]:
        if record.prev != head.write:
            raise Corrupt(f"record {record.n} of {self._base or 'the store'}log does not follow record {head.n}")
        whole, bases = self._added(head.bases, record)
        return Head(record.n, record.write, self._state(whole, f"record {record.n}"), bases)

    def _added(self, bases: tuple[Base, ...], record: Record) -> tuple[dict[str, Any], tuple[Base, ...]]:
        """Return the state after a record, as JSON, and the bases for the next one. Raises Corrupt."""
        if record.state is None:
            kept = next((bases[: i + 1] for i, base in enumerate(bases) if base.n == record.since), ())
            if not kept:
                raise Corrupt(f"record {record.n} of {self._base or 'the store'}log belongs to another checkpoint")
            whole = merge(kept[-1].state, record.delta)
        else:
            kept, whole = (), record.state
        if not isinstance(whole, dict):
            raise Corrupt(f"{keys.log_record(self._base, record.n)} contains no state", "run `sheaf store check`")
        return whole, _extended(kept, record.n, whole)

    def _find(self, n: int) -> Record | None:
        try:
            return self._get(n)
        except NotFound:
            return None

    def _is_there(self, n: int) -> bool:
        try:
            self._read(n)
        except NotFound:
            return False
        return True

    def _get(self, n: int) -> Record:
        record = self._read(n)
        self._remember(record)
        return record

    def _held(self, n: int, *, cached: bool = True) -> Record:
        """Read a record that must exist, since others follow it or it was listed: records are never deleted. Raises Corrupt."""
        try:
            return self._read(n, cached=cached)
        except NotFound as error:
            raise Corrupt(f"{keys.log_record(self._base, n)} is missing", "run `sheaf store check`") from error

    def _read(self, n: int, *, cached: bool = True) -> Record:
        key = keys.log_record(self._base, n)
        if cached:
            record = self._core.load(key, lambda data: decode_record(data, key))
        else:
            record = decode_record(get_object(self._core.backend, key), key)
        if record.n != n:
            raise Corrupt(f"{key} contains record {record.n}")
        return record

    def _remember(self, record: Record) -> None:
        self._slim[record.n] = _slim(record)
        while len(self._slim) > _REMEMBERED:
            self._slim.pop(next(iter(self._slim)), None)

    def _several(self, numbers: Iterable[int]) -> Iterator[Record]:
        for record in self._core.io.map(lambda n: self._slim.get(n) or _slim(self._held(n)), numbers):
            self._remember(record)
            yield record

    def _page(self, k: int) -> Iterable[Record]:
        key = keys.log_page(self._base, k)
        try:
            return self._core.load(key, lambda data: decode_page(data, key))
        except NotFound:
            return self._write_page(k)
        except (Corrupt, Unsupported):
            # A page is only a copy, so its records can be read one by one instead.
            return self._several(_of_page(k))

    def _write_page(self, k: int) -> list[Record]:
        """Return the records of a page, and write it. That only helps other readers, so failures are ignored."""
        records = list(self._several(_of_page(k)))
        try:
            # OTHER means that a writer with another version of zstd has written the page; its readers check the payload.
            self._core.backend.create(keys.log_page(self._base, k), encode_page(records))
        except SheafError:
            pass
        return records

    def _decoded(self, record: Record) -> Record:
        what = f"record {record.n} of {self._base}log"
        ops = decode_ops(record.ops, tuple[self._ops, ...], what)  # type: ignore[name-defined]
        return msgspec.structs.replace(record, ops=ops)

    def _state(self, value: Any, what: str) -> S:
        return decode_ops(value, type(self.empty), what)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _compose(self, head: Head[S], ops: tuple[Op, ...]) -> tuple[Record, Head[S]]:
        """Return the record that follows a head, and the head after it."""
        core = self._core
        origin = RefTarget("", head.n + 1, core.now(), core.author)
        state: S = replay(head.state, ops, origin)
        data = msgspec.json.encode(state)
        # Decode it, so that it compares equal to what readers get: tuples, which to_builtins keeps, would count as changes.
        whole = msgspec.json.decode(data)
        record = Record(head.n + 1, core.clock.new_id(), head.write, origin.time, core.author, msgspec.to_builtins(ops))
        kept, delta = _shortened(head, whole, len(data))
        if kept:
            record = msgspec.structs.replace(record, since=kept[-1].n, delta=delta)
        else:
            record = msgspec.structs.replace(record, state=whole)
        return record, Head(record.n, record.write, state, _extended(kept, record.n, whole))


def _shortened(head: Head[Any], whole: dict[str, Any], size: int) -> tuple[tuple[Base, ...], Any]:
    """The bases to keep, and the delta from the last of them to the new state; no bases if a checkpoint is due.

    Each record after a base repeats what the ones before it have changed. A new base is due as soon as these repetitions
    have taken as many bytes as the base itself. ``size``: bytes of the state.
    """
    if size <= _SMALL or not head.bases:
        return (), None
    delta = patch(head.bases[0].state, whole)
    length = len(msgspec.json.encode(delta))
    if length > size // _PART:
        return (), None
    for base in head.bases[1:]:
        short = patch(base.state, whole)
        if len(msgspec.json.encode(short)) * (head.n + 1 - base.n) <= 2 * length:
            return head.bases, short
    return head.bases[:1], delta


def _extended(bases: tuple[Base, ...], n: int, whole: dict[str, Any]) -> tuple[Base, ...]:
    """The bases after a record whose own delta starts at the last of ``bases``."""
    return (*bases, Base(n, whole)) if len(bases) < _DELTAS else bases


def _slim(record: Record) -> Record:
    """The record without its state, as pages contain it and as many records can be kept in memory."""
    return msgspec.structs.replace(record, state=None, since=-1, delta=None)


def _of_page(k: int) -> range:
    return range(k * PAGE_RECORDS, (k + 1) * PAGE_RECORDS)


def repo_log(core: Core, repo_id: str) -> Log[RepoState, RepoOp]:
    """Return the log of one repo."""
    return Log(core, keys.repo(repo_id), RepoState(), RepoOp)  # type: ignore[arg-type]


def store_log(core: Core) -> Log[StoreState, StoreOp]:
    """Return the store's own log."""
    return Log(core, keys.STORE_LOG, StoreState(), StoreOp)  # type: ignore[arg-type]
