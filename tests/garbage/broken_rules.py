"""The protocol with one of its rules broken: for each of these some schedule must lose something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from sheaf.engine.chunks.checked_index import Listed
from sheaf.engine.commit import writer
from sheaf.engine.core import Core
from sheaf.engine.gc import collect, repack, restore, sweep
from sheaf.engine.gc.grace import Waiting
from sheaf.engine.gc.mark import BundleRoots, Heads, live_bundles
from sheaf.engine.sessions import forwarding, sessions
from sheaf.engine.sessions.sessions import Ending, Open
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, Session, seal

Mutant = Callable[[], AbstractContextManager[Any]]


def patched(target: Any, name: str, other: Any) -> Mutant:
    return lambda: mock.patch.object(target, name, other)


def _nothing(*args: object, **options: object) -> None:
    return None


def _unregistered(core: Core, session: Session, log: object = None) -> Open:
    return sessions.observe(core, session)


def _registered_late(core: Core, session: Session, log: object = None) -> Open:
    opened = sessions.observe(core, session)
    core.create(keys.session(session.id), seal("session", session))
    return opened


def _blind(core: Core, session: Session) -> Open:
    none: frozenset[Any] = frozenset()
    return Open(session, none, none, none, none, none)


def _unresolved(core: Core, sessions: list[Session], waiting: Waiting, done: collect.Collected) -> bool:
    return True


def _ended_without_a_record(core: Core, session: Session) -> None:
    sessions.end_session(core, session.id)


def _alive_at_the_mark(core: Core, heads: Heads) -> BundleRoots:
    from sheaf.engine.gc.mark import _bundles_at

    return BundleRoots([], [bundle for _, bundle in _bundles_at(core, heads)])


def _alive_now(core: Core, heads: Heads) -> BundleRoots:
    return BundleRoots(live_bundles(core)[0], [])


@contextmanager
def _condemned_too_early_gone() -> Iterator[None]:
    real = sweep.sweep

    def early(core: Core, condemned: Condemned, *args: Any) -> None:
        core.backend.delete(keys.condemned(condemned.generation))
        real(core, condemned, *args)

    with mock.patch.object(collect, "sweep", early):
        yield


@contextmanager
def _uncommitted_moves_count() -> Iterator[None]:
    class All(dict[tuple[str, bytes], int]):
        def get(self, key: Any, default: Any = None) -> int:
            return 0

    with mock.patch.object(forwarding, "_committed", lambda core: All()):
        yield


MUTANTS: dict[str, Mutant] = {
    "sessions are not registered": patched(sessions, "_registered", _unregistered),
    "sessions are registered after they have looked around": patched(sessions, "_registered", _registered_late),
    "sessions don't look at what is condemned": patched(sessions, "observe", _blind),
    "sessions are not resolved": patched(collect, "resolve", _unresolved),
    "sessions are ended without a record": patched(collect, "void_session", _ended_without_a_record),
    "writers don't see that they were ended": patched(writer, "ensure_session_open", _nothing),
    "gcs don't see that they were ended": patched(repack, "ensure_session_open", _nothing),
    "a commit that may be on its way does not hold the session": patched(
        Ending, "__exit__", lambda self, *exc: sessions.end_session(self._core, self._id)
    ),
    "gc does not look again": patched(sweep, "roots_since", _alive_at_the_mark),
    "gc looks at what lives now only": patched(sweep, "roots_since", _alive_now),
    "the list of the condemned goes first": _condemned_too_early_gone,
    "moves count without a commit": _uncommitted_moves_count,
    "the index is believed": patched(Listed, "_is_believed", lambda self, pack: self._believed.get(pack, True)),
    "what is brought back is not looked at": patched(restore, "_ensure_whole", _nothing),
}

#: Those that no scene shows, in which one of two clients is interrupted once.
TAKES_THREE = frozenset(
    {
        "sessions are registered after they have looked around",
        "gc looks at what lives now only",
        "the index is believed",
    }
)
