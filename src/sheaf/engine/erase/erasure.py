"""Erase contents: remove their bytes from the store permanently, whichever bundles refer to them under whatever name.

Manifests, ids and versions stay as they are and verify; reading the bytes raises an error with the notice. If the rows
are to change, too (:mod:`sheaf.engine.erase.redact_names`), bundles get other trees first: see
:mod:`sheaf.engine.erase.redact`.

1. Write a notice in ``erased/`` for each content: sessions that begin from now on refuse to store it. 2. Change the
rows, if requested. Wait until every session has ended that did not see the notice, or has read the rows
  before. What these have committed is changed, too. From here on no session can store the contents again.
3. Find all chunks of the contents, and all packs with a chunk that no other content needs. 4. Replace these packs by a
generation of gc that leaves the chunks out, and deletes the nodes of former trees. Once its
  list is created, any gc can finish it.
5. Check every pack again; remove what killed writers left outside of all keys; write the receipt.

Each step may be repeated: an interrupted erasure is run again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.core import Core
from sheaf.engine.erase.locate import Finder, held_by
from sheaf.engine.erase.receipts import rewrite_receipts, without_receipt
from sheaf.engine.erase.redact import Redaction, redact
from sheaf.engine.erase.redact_names import Names, is_placeholder
from sheaf.engine.erase.redact_rows import Replacement
from sheaf.engine.erase.unfinished_erasures import NOTHING, begin, resume
from sheaf.engine.gc.collect import Collected, Waiting, finish, resolve
from sheaf.engine.gc.mark import live_bundles, needed_chunks
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.objects import get_object
from sheaf.engine.sessions.sessions import list_sessions
from sheaf.errors import Conflict, NotFound
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, ErasedFile, Notice, Receipt, encode_condemned, seal, unseal
from sheaf.model.paths import split

__all__ = ["erase", "notices"]

_ROUNDS = 5  # one round is enough unless a session stores the bytes in spite of the notice
_NOTHING: frozenset[bytes] = frozenset()


def notices(core: Core) -> list[Notice]:
    """Return the notices of all erased contents, sorted by hash."""
    listed = core.backend.list(keys.ERASED, sort=True)
    return [unseal(get_object(core.backend, stat.key), "erased", Notice, stat.key) for stat in listed]


def erase(
    core: Core,
    contents: frozenset[bytes],
    reason: str,
    waiting: Waiting,
    change: Redaction | None = None,
    spills: tuple[str, ...] = (),
) -> Receipt:
    """Remove the bytes of these contents from all bundles of all repos, live or deleted. Return the receipt.

    Args:
        change: what to do with the entries that have one of the contents; None: they stay. With a :class:`Replacement`,
            contents that an interrupted erasure has left are erased as well.
        spills: folders of this machine that may contain the bytes and stay: for the receipt.

    Raises:
        NotFound: the store has none of them.
        Conflict: another process keeps writing the same bytes, or another gc ended this one. Run it again.
    """
    left = resume(core, contents, change.rows_out) if isinstance(change, Replacement) else NOTHING
    contents |= left.contents
    finder = Finder(core, contents, change.is_done) if change else Finder(core, contents)
    finder.chunks |= left.chunks
    done, deleted = Collected(), set[str]()
    finder.find()
    if not finder.chunks and not held_by(core, contents).packs and not without_receipt(core, contents):
        raise NotFound(f"no file has the content {min(contents).hex()}", "give the hash that `b3sum` prints")
    if isinstance(change, Replacement):
        begun = begin(core, finder, change.condition, left.rows, left.columns | change.columns)
        left = replace(begun, keys=(*left.keys, *begun.keys))
    cause = _Cause(reason, left.rows, left.columns, finder.places, spills)
    indexed = {stat.key for stat in core.backend.list(keys.INDEX)}
    for stat in list(core.backend.list(keys.CONDEMNED)):
        _finished(core, stat.key, waiting, done)
    # An existing notice is as good as this one, so the results don't matter.
    for content in contents:
        notice = Notice(content.hex(), core.now(), reason, core.author, finder.sizes.get(content, -1))
        core.backend.create(keys.erased(content), seal("erased", notice))
    nodes = _settle(core, finder, waiting, done, change)
    former = Former(nodes, rewrite_receipts(core, contents) if isinstance(change, Names) else frozenset())
    for _ in range(_ROUNDS):
        todo = _Todo(core, finder)
        if not (todo.packs or todo.objects or former):
            _forget(core, indexed)
            if change:
                core.cache.clear(keys.NODES)
            receipt = _receipt(core, cause, finder, todo, deleted)
            for key in left.keys:
                core.backend.delete(key)
            return receipt
        _replace(core, contents, todo, former, waiting, done)
        deleted |= {*map(keys.pack, todo.packs), *todo.objects}
        former = Former()
        finder.find()
    raise _again()


def _settle(
    core: Core, finder: Finder, waiting: Waiting, done: Collected, change: Redaction | None
) -> frozenset[bytes]:
    """Change the rows until no session is left that has read them before, or that doesn't know of the notice.

    Returns the nodes that no bundle needs: former trees, and what uploads have left, which may have the same rows.
    """
    for _ in range(_ROUNDS):
        if change is not None:
            redact(core, finder, change)
        waiting.settle(2 * core.backend.settle_s)
        if not resolve(core, list_sessions(core), waiting, done):
            raise _left()
        nodes = keys.ids_of(stat.key for stat in core.backend.list(keys.NODES)) if change else ()
        finder.find()
        if not finder.left:
            return frozenset(nodes) - finder.nodes
    raise _again()


@dataclass(frozen=True, slots=True)
class Former:
    """What still contains the former rows: ``nodes`` that no bundle needs, and ``receipts`` (keys) that name paths."""

    nodes: frozenset[bytes] = _NOTHING
    receipts: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.nodes or self.receipts)


class _Todo:
    """Packs and whole objects that have bytes of the contents. ``kept``: chunks that other contents need, too."""

    def __init__(self, core: Core, finder: Finder) -> None:
        names = {content.hex() for content in finder.contents}
        held = held_by(core, finder.chunks | finder.contents)
        self.scanned = held.scanned
        self.objects = frozenset(
            stat.key for stat in core.backend.list(keys.OBJECTS) if stat.key.rpartition("-")[2] in names
        )
        self.packs = _NOTHING
        self.kept = 0
        if held.packs:
            bundles, suspects = live_bundles(core)[0], frozenset(held.packs)
            needed, _ = needed_chunks(core, Nodes(core), Contents(core), bundles, suspects, finder.contents)
            self.packs = frozenset(pack for pack in suspects if held.packs[pack] - needed[pack].keys())
            self.kept = sum(len(held.packs[pack] & needed[pack].keys()) for pack in suspects)


def _replace(
    core: Core, contents: frozenset[bytes], todo: _Todo, former: Former, waiting: Waiting, done: Collected
) -> None:
    """Run a generation of gc that replaces these packs without the contents."""
    heads = live_bundles(core)[1]
    objects = todo.objects | former.receipts
    condemned = Condemned(core.clock.new_id(), _NOTHING, todo.packs, former.nodes, objects, heads, contents)
    key = keys.condemned(condemned.generation)
    core.create(key, encode_condemned(condemned))
    _finished(core, key, waiting, done)


def _finished(core: Core, key: str, waiting: Waiting, done: Collected) -> None:
    if not finish(core, key, waiting, done):
        raise _left()


def _left() -> Conflict:
    return Conflict("the erasure must wait for other sessions in the store", "run it again later, or with --now")


def _again() -> Conflict:
    return Conflict("other writers keep storing the bytes that are to be erased", "stop the uploads and run it again")


def _forget(core: Core, indexed: set[str]) -> None:
    """Delete cached copies of index objects that listed the chunks."""
    for key in indexed - {stat.key for stat in core.backend.list(keys.INDEX)}:
        core.cache.drop(key)


@dataclass(frozen=True, slots=True)
class _Cause:
    """For the receipt: the reason, number and columns of removed rows, the contents' first places, and spills."""

    reason: str
    rows: int
    columns: frozenset[str]
    places: list[ErasedFile]
    spills: tuple[str, ...]


def _receipt(core: Core, cause: _Cause, finder: Finder, todo: _Todo, deleted: set[str]) -> Receipt:
    """Write the receipt of an erasure, and return it. Unfinished data of writers is removed before."""
    # The current paths, which are notices; or the first ones, if other contents are there now.
    places = finder.places or cause.places
    # Do this last: a writer that was ended may have left an unfinished pack until now.
    unfinished = core.backend.unfinished(remove=True)
    receipt = Receipt(
        core.clock.new_id(),
        core.now(),
        cause.reason,
        tuple(sorted(content.hex() for content in finder.contents)),
        tuple(places),
        len([key for key in deleted if key.startswith(keys.PACKS)]),
        todo.scanned,
        core.author,
        todo.kept,
        tuple(sorted(deleted)),
        len([file for file in places if is_placeholder(split(file.path)[1], bytes.fromhex(file.content))]),
        rows=cause.rows,
        columns=tuple(sorted(cause.columns)),
        unfinished=sum(not found.kept for found in unfinished),
        left=tuple(found.name for found in unfinished if found.kept),
        spills=cause.spills,
    )
    core.create(keys.receipt(receipt.id), seal("receipt", receipt))
    return receipt
