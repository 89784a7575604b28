"""A store with its replicas: creates go to all of them, the primary decides, and reads may use replicas.

It is safe to copy a record on its own for this reason: whatever another process can learn of (through the index, a
diamond or a record) is in every replica, or the primary has a note in ``behind/`` for those that lack it. So the note is
created before each such object, and a replica with a note gets no record until it has caught up.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheaf.engine.clock import Clock, rfc3339
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, store_log
from sheaf.engine.objects import get_stored
from sheaf.engine.replicas.members import Member, Open, Warn, needed
from sheaf.engine.replicas.object_kinds import ObjectKind, kind_of, log_of
from sheaf.engine.replicas.replica_records import copy_notice, is_copy
from sheaf.errors import Refused, SheafError, Unavailable
from sheaf.fork import Lock
from sheaf.format import keys
from sheaf.format.replica_v1 import Behind, ReplicaNotice
from sheaf.format.sealed import seal
from sheaf.format.store_v1 import StoreConfig
from sheaf.model.records import StoreState
from sheaf.storage.port import Backend, Buffer, Created
from sheaf.storage.wrappers.failover import FailoverBackend
from sheaf.storage.wrappers.wrapper import WrapperBackend

__all__ = ["ReplicatedBackend", "ensure_primary"]


class ReplicatedBackend(FailoverBackend):
    """``inner`` is the primary. Its log names the replicas and is read again before each commit."""

    def __init__(self, inner: Backend, open_location: Open, config: StoreConfig, clock: Clock, warn: Warn) -> None:
        super().__init__(inner, warn)
        self._core = Core(inner, config, clock=clock)
        self._log = store_log(self._core)
        self._open = open_location
        self._warn = warn
        self._lock = Lock()
        self._state: StoreState | None = None
        self._members: dict[str, Member] = {}
        self._read_for = ""  # the prefix of the next create for which the log was read in advance
        self._wrote = False  # whether anything was written since the log was last read

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        kind = kind_of(key)
        if kind is ObjectKind.LOCAL:
            return self.inner.create(key, data)
        if self._state is None or kind in (ObjectKind.LINK, ObjectKind.RECORD):
            is_current = self._read_for and key.startswith(self._read_for) and not self._wrote
            self._read_for = ""
            if not is_current:
                self._read_state()
        if kind is ObjectKind.RECORD:
            return self._commit(key, data)
        self._wrote = True
        answer = self.inner.create(key, data)
        if self._members:
            self._spread(key, data if answer is not Created.OTHER else get_stored(self.inner, key))
        return answer

    def prepare(self, prefix: str) -> None:
        """Read the log in advance for the next session or record, unless something else is written before it."""
        self.inner.prepare(prefix)
        self._read_state()
        self._read_for = prefix

    @property
    def prepared(self) -> Head[StoreState] | None:
        """The head that :meth:`prepare` has just read for the next create; None if there is no such create."""
        return self._log.known if self._read_for else None

    def resume(self, head: Head[StoreState]) -> None:
        """Start from a head of the store's log that was read from the primary; each write still asks for newer records."""
        self._log.resume(head)

    def delete(self, key: str) -> None:
        """Delete from the primary; replicas delete only ended sessions and removed slots now, the rest when they catch up."""
        self.inner.delete(key)
        if key.startswith((keys.SESSIONS, keys.SLOTS)):
            for member in self._ready():
                member.tried(lambda member=member: member.backend.delete(key))  # type: ignore[misc]

    def use(self, urls: Sequence[str]) -> None:
        """Read from these locations while the primary can't be reached."""
        for url in urls:
            if url not in self._members:
                self._members[url] = Member(url, self._open, self._core.config)
        self.copies = tuple(_Late(member) for member in self._members.values())

    def close(self) -> None:
        self._core.close()
        for member in self._members.values():
            member.close()

    # -- the state of the log ------------------------------------------------------------------------------------------

    def _read_state(self) -> None:
        with self._lock:
            # A writer must not decide by an outdated state.
            self.may_fail_over = False
            may_be_copy = bool(self._members) or self._state is None
            known = self._log.known
            newest = self._core.io.submit(self.inner.newest, keys.REPLICA) if may_be_copy and known else None
            head = self._log.head()
            state = head.state
            # An older notice may belong to an epoch that ended, and a newer epoch to a notice that was not listed yet. So
            # a listing made with the log counts only if that was known before.
            if newest is not None and known is not None and known.n == head.n:
                _ensure_no_copy(self.inner, copy_notice(self.inner, state.epoch, newest.result()))
            elif may_be_copy or state.replicas:
                ensure_primary(self.inner, state.epoch)
            self._adopt(state)
            self._note()
            self._state, self._wrote = state, False

    def _adopt(self, state: StoreState) -> None:
        known = self._members
        new = [url for url in state.replicas if url not in known]
        self._members = {url: known[url] for url in state.replicas if url in known}
        for url in new:
            self._members[url] = Member(url, self._open, self._core.config, owes=self._wrote)

    def _note(self) -> None:
        """Note in the primary which replicas lack something, before other processes can learn of it; read others' notes."""
        if not self._members:
            return
        for member in self._members.values():
            if member.owes:
                reason = str(member.trouble or "it was added in the meantime")
                note = Behind(member.url, reason, rfc3339(self._core.clock.now_ns()))
                self._core.create(keys.behind(member.id, self._core.clock.new_id()), seal("behind", note))
                member.owes = False
        noted = {stat.key.split("/")[1] for stat in self.inner.list(keys.BEHIND)}
        for member in self._members.values():
            if member.id not in noted:
                member.trouble = None
            elif member.trouble is None:
                member.trouble = Unavailable(f"{member.url} is behind", _catch_up(member.url))

    def _ready(self) -> list[Member]:
        return [member for member in self._members.values() if member.trouble is None]

    # -- writing -------------------------------------------------------------------------------------------------------

    def _spread(self, key: str, data: Buffer | Sequence[Buffer]) -> None:
        held = 1
        for member in self._members.values():
            error = member.trouble or member.tried(lambda member=member: member.put(key, data))  # type: ignore[misc]
            held += error is None
            if error is not None:
                self._miss(member, error)
        self._ensure_enough_copies(held)

    def _miss(self, member: Member, error: SheafError) -> None:
        """Handle a replica that missed an object: raise Unavailable, or note it and leave the replica out from now on."""
        if self._needed() > len(self._members):
            raise self._short(member, error)
        member.owes = True
        if member.trouble is None:
            member.trouble = error
            self._warn(f"replica {member.url} has fallen behind: {error}; {_catch_up(member.url)}")

    def _commit(self, key: str, data: Buffer | Sequence[Buffer]) -> Created:
        assert self._state is not None
        base, n = log_of(key)
        epoch = self._state.epoch
        for member in self._ready():
            if error := member.tried(lambda member=member: member.check(epoch)):  # type: ignore[misc]
                self._miss(member, error)
        for member in self._members.values():
            if member.trouble is not None:
                member.check_now_and_then(epoch)
        self._ensure_enough_copies(1 + len(self._ready()))
        answer = self.inner.create(key, data)
        if answer is not Created.OTHER:
            self._follow(base, n)
        return answer

    def _follow(self, base: str, n: int) -> None:
        held, last = 1, None
        for member in self._ready():
            error = member.tried(lambda member=member: member.follow(self.inner, base, n))  # type: ignore[misc]
            held += error is None
            if error is not None:
                last = member, error
                if self._needed() <= len(self._members):
                    self._miss(member, error)
        if last and held < self._needed():
            raise Unavailable(
                f"committed to {self.url}, but not to replica {last[0].url}: {last[1]}",
                f"don't repeat the command; {_catch_up(last[0].url)}",
            )

    def _needed(self) -> int:
        return needed(self._state.policy if self._state else "primary", len(self._members))

    def _ensure_enough_copies(self, held: int) -> None:
        if held < self._needed():
            member = next(member for member in self._members.values() if member.trouble)
            assert member.trouble is not None
            raise self._short(member, member.trouble)

    def _short(self, member: Member, error: SheafError) -> Unavailable:
        policy = self._state.policy if self._state else ""
        return Unavailable(
            f"nothing was committed: policy '{policy}' is not met, because replica {member.url} failed: {error}",
            error.hint or f"wait for it, or remove it with `sheaf store replica remove {member.url}`",
        )


class _Late(WrapperBackend):
    """A replica to read from, which is opened by the first request."""

    def __init__(self, member: Member) -> None:
        self.url = member.url
        self.ordered = False
        self._member = member

    @property
    def inner(self) -> Backend:  # type: ignore[override]
        return self._member.backend


def ensure_primary(backend: Backend, epoch: int) -> None:
    """Raise Refused if a location is a replica."""
    _ensure_no_copy(backend, is_copy(backend, epoch))


def _ensure_no_copy(backend: Backend, notice: ReplicaNotice | None) -> None:
    if notice is not None:
        raise Refused(
            f"{backend.url} is a replica of {notice.primary}: it does not accept writes",
            f"write to the primary, or promote this one with `sheaf store promote {backend.url}`",
        )


def _catch_up(url: str) -> str:
    return f"run `sheaf store replicate --to {url}`"
