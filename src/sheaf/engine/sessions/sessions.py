"""Sessions: a writer registers before it reads what it may reuse. Safety depends on this order.

The order is: register, list ``condemned/``, then ``index/``; and ``erased/`` after ``condemned/``, too, since a generation
that is not listed any more has left its notices. Nothing that the condemned lists call dead may be referenced, however
the writer learned of it; new data is not deduplicated against anything in these lists. The same holds for what
``damaged/`` names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import replace

from sheaf.engine.core import Core, host
from sheaf.engine.log.record_log import Head, Log, repo_log, store_log
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.damage import Noted, noted_keys
from sheaf.engine.sessions.erasure_notices import erased_contents, forget_names
from sheaf.engine.sessions.forwarding import sent_to
from sheaf.errors import Conflict, NotFound, SheafError, Unavailable
from sheaf.fork import ProcessOrigin
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


class Open(Struct, frozen=True):
    """A registered session, and what it must not use.

    ``dead_…`` (objects by key): must never be referenced. ``avoid_packs``: new data must not be deduplicated against them.
    ``damaged``: what was found damaged, which nothing new may need.
    """

    session: Session
    dead_packs: frozenset[bytes]
    dead_nodes: frozenset[bytes]
    dead_objects: frozenset[str]
    avoid_packs: frozenset[bytes]
    erased: frozenset[bytes]
    index: tuple[str, ...] | None = None  #: index objects, listed after ``condemned/``; None: not listed yet
    index_bytes: int = 0  #: their size
    damaged: Noted = field(default_factory=Noted)
    head: Head[RepoState] | None = None  #: the repo's log, read after the session was registered

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
        """The packs that new data is not deduplicated against."""
        return self.avoid_packs | self.damaged.packs


def open_session(core: Core, repo_id: str, log: Log[RepoState, RepoOp], kind: str) -> Open:
    """Register a session of this kind (``upload``, ``edit``, ``diamond``) and read what it must not use. Raises Refused."""
    around = core.io.submit(core.backend.prepare, keys.SESSIONS)
    # A commit reads all records after this one, so an older one costs a little and loses nothing.
    least = log.least()
    around.result()
    session = Session(core.clock.new_id(), repo_id, kind, core.now(), least, core.author, host())
    return _registered(core, session, log)


def open_store_session(core: Core, kind: str) -> Open:
    """Register a session that belongs to no repo (``gc``, ``repair``). gc would end it through the store's log."""
    session = Session(core.clock.new_id(), "", kind, core.now(), store_log(core).head().n, core.author, host())
    return _registered(core, session)


def _registered(core: Core, session: Session, log: Log[RepoState, RepoOp] | None = None) -> Open:
    core.create(keys.session(session.id), seal("session", session))
    head = core.io.submit(log.head) if log is not None else None
    try:
        opened = observe(core, session)
        return replace(opened, head=head.result()) if head is not None else opened
    except SheafError:
        end_session(core, session.id)
        raise


def observe(core: Core, session: Session) -> Open:
    """Read what a session that is already registered (such as a split of a diamond) must not use from now on."""
    known = condemned_lists(core)
    index = core.io.submit(lambda: list(core.backend.list(keys.INDEX)))
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
        tuple(stat.key for stat in index.result()),
        sum(stat.size for stat in index.result()),
        _noted(core, damaged.result()),
    )


def _noted(core: Core, listed: list[str]) -> Noted:
    """Group the keys of damaged objects by kind; reads forwarding addresses if there are packs among them."""
    packs = set(keys.ids_of(key for key in listed if key.startswith(keys.PACKS)))
    nodes = frozenset(keys.ids_of(key for key in listed if key.startswith(keys.NODES)))
    objects = frozenset(key for key in listed if key.startswith(keys.OBJECTS))
    packs |= sent_to(core, packs) if packs else set()
    return Noted(frozenset(packs), nodes, objects)


def condemned_lists(core: Core) -> list[Condemned]:
    """Load the condemned lists of all generations of gc that are not finished."""
    lists = [_condemned(core, stat.key) for stat in core.backend.list(keys.CONDEMNED)]
    return [entry for entry in lists if entry is not None]


def _condemned(core: Core, key: str) -> Condemned | None:
    try:
        return decode_condemned(get_object(core.backend, key), key)
    except NotFound:
        # The generation ended between the listing and now. It deleted nothing that is still listed.
        return None


def end_session(core: Core, id: str) -> None:
    """End a session that has committed or will not commit. If the store can't be reached, gc ends it later."""
    try:
        core.backend.delete(keys.session(id))
    except SheafError:
        return


def list_sessions(core: Core) -> list[Session]:
    """Load the sessions that are registered now."""
    found = []
    for stat in core.backend.list(keys.SESSIONS):
        try:
            found.append(unseal(get_object(core.backend, stat.key), "session", Session, stat.key))
        except NotFound:
            continue
    return found


def session_ids(core: Core) -> set[str]:
    """List the ids of the sessions that are registered now, without reading them."""
    listed = (stat.key for stat in core.backend.list(keys.SESSIONS))
    return {key.removeprefix(keys.SESSIONS).removesuffix(".json") for key in listed}


def _log_of(core: Core, session: Session) -> Log[Any, Any]:
    return repo_log(core, session.repo) if session.repo else store_log(core)


def void_session(core: Core, session: Session) -> None:
    """End another writer's session by a record in its log: its commit is not accepted after that record."""
    op = VoidSession(session.id)
    _log_of(core, session).append(lambda head: (op,))
    end_session(core, session.id)


def has_committed(core: Core, session: Session) -> bool:
    """True if the bundle of a session is in its log. Then it can't commit again, and gc need not wait for it."""
    records = _log_of(core, session).records(session.n + 1) if session.repo else ()
    return any(isinstance(op, AddBundle) and op.bundle.id == session.id for record in records for op in record.ops)


def ensure_session_open(log: Log[Any, Any], session: Session, last: int | None = None) -> None:
    """Check every record since a session began. Call this each time that a commit decides on its operations.

    ``last``: the record that the commit will follow; default: the newest one.

    Raises:
        Conflict: gc has ended the session, or its bundle is already committed.
    """
    for op in (op for record in log.records(session.n + 1, last) for op in record.ops):
        if isinstance(op, VoidSession) and op.session == session.id:
            raise Conflict(
                f"gc ended this {session.kind} because it was still open (session {session.id})",
                "run the same command again: data that is already stored is reused",
            )
        if isinstance(op, AddBundle) and op.bundle.id == session.id:
            raise Conflict(f"bundle {session.id} is already committed")


class Ending:
    """Ends a session at the end of a block, unless its commit may still be on its way to the store.

    A commit whose answer was lost may still arrive. While the session is registered, gc ends it through the log, where the
    order of records decides; if it were not, gc would delete what the late commit needs.
    """

    def __init__(self, core: Core, id: str) -> None:
        self._core = core
        self._id = id
        self._is_open = False
        self._origin = ProcessOrigin("the session")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # In a forked child the parent still needs its session.
        if not self._is_open and self._origin.is_here:
            end_session(self._core, self._id)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Mark the block that creates the record that commits. Raises Refused in a forked process."""
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
    """Load a session that was registered by any process. Raises Conflict if it has ended."""
    key = keys.session(id)
    try:
        return unseal(get_object(core.backend, key), "session", Session, key)
    except NotFound:
        raise Conflict(f"session {id} has ended", "start again") from None
