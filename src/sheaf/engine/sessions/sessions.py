"""Sessions: whoever will commit says so first, and only then looks at what there is (design: the order is the safety).

Register, then list ``condemned/``, then ``index/``; ``erased/`` after ``condemned/``, too, since a generation that is not
listed any more has left its notices. Nothing that the lists call dead is referenced, however one learned of it; new data
is deduplicated against nothing that is listed at all. What ``damaged/`` names is treated so, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from sheaf.engine.core import Core, host
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import Noted, noted_keys
from sheaf.engine.sessions.erasure_notices import erased_contents, forget_names
from sheaf.engine.sessions.forwarding import sent_to
from sheaf.errors import Conflict, NotFound, SheafError, Unavailable
from sheaf.fork import Origin
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, Session, decode_condemned, seal, unseal
from sheaf.model.records import AddBundle, RepoOp, RepoState, VoidSession

__all__ = [
    "Ending",
    "Open",
    "condemned_lists",
    "end_session",
    "ensure_session_open",
    "find_session",
    "has_committed",
    "list_sessions",
    "observe",
    "open_session",
    "open_store_session",
    "session_ids",
    "void_session",
]


@dataclass(frozen=True, slots=True)
class Open:
    """A registered session and what it must keep away from.

    ``dead_…`` (objects by key): never to be referenced. ``avoid_packs``: nothing new is deduplicated against them.
    ``damaged``: what was found damaged, which nothing new may need.
    """

    session: Session
    dead_packs: frozenset[bytes]
    dead_nodes: frozenset[bytes]
    dead_objects: frozenset[str]
    avoid_packs: frozenset[bytes]
    erased: frozenset[bytes]
    index: tuple[str, ...] | None = None  #: index objects, listed after ``condemned/`` was; None: nobody has looked
    damaged: Noted = field(default_factory=Noted)
    head: Head[RepoState] | None = None  #: the repo's log as it was once the session was registered

    @property
    def id(self) -> str:
        """The session's id, which the bundle will have."""
        return self.session.id

    @property
    def has_dead(self) -> bool:
        """True if there is anything that must not be referenced."""
        return bool(self.dead_packs or self.dead_nodes or self.dead_objects)

    @property
    def unlisted_packs(self) -> frozenset[bytes]:
        """The packs that nothing new is deduplicated against."""
        return self.avoid_packs | self.damaged.packs


def open_session(core: Core, repo_id: str, log: Log[RepoState, RepoOp], kind: str) -> Open:
    """Register a session of this kind (``upload``, ``edit``, ``diamond``) and read what gc has condemned."""
    around = core.io.submit(core.backend.prepare)
    head = log.head()
    around.result()
    session = Session(core.clock.new_id(), repo_id, kind, core.now(), head.n, core.author, host())
    return _registered(core, session, log)


def open_store_session(core: Core, kind: str) -> Open:
    """Register a session that belongs to no repo (``gc``, ``repair``); it is ended through the store's log."""
    session = Session(core.clock.new_id(), "", kind, core.now(), store_log(core).head().n, core.author, host())
    return _registered(core, session)


def _registered(core: Core, session: Session, log: Log[RepoState, RepoOp] | None = None) -> Open:
    core.create(keys.session(session.id), seal("session", session))
    head = core.io.submit(log.head) if log is not None else None
    try:
        open = observe(core, session)
        return replace(open, head=head.result()) if head is not None else open
    except SheafError:
        end_session(core, session.id)
        raise


def observe(core: Core, session: Session) -> Open:
    """What a session that is registered already must keep away from, as of now (a split of a diamond)."""
    known = condemned_lists(core)
    index = core.io.submit(lambda: tuple(stat.key for stat in core.backend.list(keys.INDEX)))
    damaged = core.io.submit(noted_keys, core)
    erased = erased_contents(core)
    forget_names(core, erased)
    dead: frozenset[bytes] = frozenset().union(*(entry.dead_packs for entry in known))
    return Open(
        session,
        dead,
        frozenset().union(*(entry.dead_nodes for entry in known)),
        frozenset().union(*(entry.objects for entry in known)),
        dead.union(*(entry.moving_packs for entry in known)),
        erased.union(*(entry.erase for entry in known)),
        index.result(),
        _noted(core, damaged.result()),
    )


def _noted(core: Core, listed: list[str]) -> Noted:
    """What is noted as damaged, by kind; reads forwarding addresses if there are packs among them."""
    packs = set(keys.ids_of(key for key in listed if key.startswith(keys.PACKS)))
    nodes = frozenset(keys.ids_of(key for key in listed if key.startswith(keys.NODES)))
    objects = frozenset(key for key in listed if key.startswith(keys.OBJECTS))
    packs |= sent_to(core, packs) if packs else set()
    return Noted(frozenset(packs), nodes, objects)


def condemned_lists(core: Core) -> list[Condemned]:
    """The condemned objects of every running gc generation."""
    lists = [_condemned(core, stat.key) for stat in core.backend.list(keys.CONDEMNED)]
    return [entry for entry in lists if entry is not None]


def _condemned(core: Core, key: str) -> Condemned | None:
    try:
        return decode_condemned(get_object(core.backend, key), key)
    except NotFound:  # the generation ended between the listing and now; it deleted nothing that is still listed
        return None


def end_session(core: Core, id: str) -> None:
    """End a session that has committed or will not. If the store can't be reached, gc ends it later."""
    try:
        core.backend.delete(keys.session(id))
    except SheafError:
        return


def list_sessions(core: Core) -> list[Session]:
    """The sessions that are registered now."""
    found = []
    for stat in core.backend.list(keys.SESSIONS):
        try:
            found.append(unseal(get_object(core.backend, stat.key), "session", Session, stat.key))
        except NotFound:
            continue
    return found


def session_ids(core: Core) -> set[str]:
    """The ids of the sessions that are registered now; reads none of them."""
    listed = (stat.key for stat in core.backend.list(keys.SESSIONS))
    return {key.removeprefix(keys.SESSIONS).removesuffix(".json") for key in listed}


def _log_of(core: Core, session: Session) -> Log[Any, Any]:
    return repo_log(core, session.repo) if session.repo else store_log(core)


def void_session(core: Core, session: Session) -> None:
    """End somebody else's session by a record in its log: what comes after that record there does not count."""
    op = VoidSession(session.id)
    _log_of(core, session).append(lambda head: (op,))
    end_session(core, session.id)


def has_committed(core: Core, session: Session) -> bool:
    """True if the bundle of a session is in its log; then it can't commit again, and needs no waiting for."""
    records = _log_of(core, session).records(session.n + 1) if session.repo else ()
    return any(isinstance(op, AddBundle) and op.bundle.id == session.id for record in records for op in record.ops)


def ensure_session_open(log: Log[Any, Any], session: Session, last: int | None = None) -> None:
    """Read every record since a session began. Call this each time that a commit decides on its operations.

    ``last``: the record that the commit is to follow; else the newest one.

    Raises:
        Conflict: gc has ended the session, or its bundle is already committed.
    """
    for op in (op for record in log.records(session.n + 1, last) for op in record.ops):
        if isinstance(op, VoidSession) and op.session == session.id:
            raise Conflict(
                f"gc ended this {session.kind} because it made no progress (session {session.id})",
                "run the same command again: data that is already stored is reused",
            )
        if isinstance(op, AddBundle) and op.bundle.id == session.id:
            raise Conflict(f"bundle {session.id} is already committed")


class Ending:
    """Ends a session on the way out; but not while its commit may still be on its way to the store.

    A commit whose answer is lost may land later. As long as the session is registered, gc ends it through the log, where
    the order decides; if it were not, gc would take what the late commit needs for garbage.
    """

    def __init__(self, core: Core, id: str) -> None:
        self._core = core
        self._id = id
        self._is_open = False
        self._origin = Origin("the session")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._is_open and self._origin.is_here:  # the parent still needs its session
            end_session(self._core, self._id)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Around the creation of the record that is the commit. Raises Refused in a forked process."""
        self._origin.ensure_here()
        try:
            yield
        except SheafError as error:
            self._is_open = isinstance(error, Unavailable)
            raise
        except BaseException:
            self._is_open = True
            raise


def find_session(core: Core, id: str) -> Session:
    """A session that was registered, here or elsewhere. Raises Conflict if it has ended."""
    key = keys.session(id)
    try:
        return unseal(get_object(core.backend, key), "session", Session, key)
    except NotFound:
        raise Conflict(f"session {id} has ended", "start again") from None
