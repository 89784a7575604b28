"""Which parts of other bundles a session may reference: none that is condemned or was found damaged.

A bundle that was alive after the session registered may still need a condemned pack: it was committed after gc had
marked. Gc notices that before it deletes anything, but not if the bundle is deleted first. So the list of condemned
objects decides, however a location became known.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.chunks.bulk.gather import is_gathered
from sheaf.engine.chunks.chunk_reader import DAMAGE, Contents, Erased
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree, between, entries, entry_at
from sheaf.engine.manifest.tree_splice import nodes_below
from sheaf.engine.sessions.damage import Noted
from sheaf.engine.sessions.sessions import Open
from sheaf.errors import Conflict, Corrupt, NotFound, SheafError
from sheaf.format import keys
from sheaf.format.node_v1 import object_id
from sheaf.model.entries import PlaceKind
from sheaf.model.nodes import Pointer

__all__ = ["ensure_not_condemned", "ensure_readable", "ensure_rows_not_condemned", "is_leaf_usable", "usable"]


def usable(rows: pa.RecordBatch | pa.Table, opened: Open) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that need nothing condemned or damaged."""
    packs, objects = opened.dead_packs | opened.damaged.packs, opened.dead_objects | opened.damaged.objects
    return _without(rows, packs, objects)


def is_leaf_usable(leaf: Pointer, contents: npt.NDArray[np.uint8], opened: Open) -> bool:
    """True if a leaf of a live bundle and all its rows may be reused. ``contents``: of its rows, shape (n, 32)."""
    barred = opened.dead_packs | opened.damaged.packs
    barred |= {object_id(key) for key in opened.dead_objects | opened.damaged.objects}
    if leaf.id in opened.dead_nodes | opened.damaged.nodes or not barred.isdisjoint(pack for pack, _ in leaf.packs):
        return False
    # The pointer to a root does not list the packs.
    is_known = bool(leaf.packs) or not barred
    return is_known and (not opened.erased or opened.erased.isdisjoint(map(bytes, contents)))


def _without(
    rows: pa.RecordBatch | pa.Table, packs: frozenset[bytes], objects: frozenset[str]
) -> npt.NDArray[np.bool_]:
    if not (packs or objects):
        return np.ones(rows.num_rows, np.bool_)
    columns = [rows[name].to_pylist() for name in ("place", "url", "content", "pack", "packs")]
    return np.array(list(map(partial(_needs_none, packs, objects), *columns)), np.bool_)


def _needs_none(
    barred: frozenset[bytes],
    objects: frozenset[str],
    place: int,
    session: str | None,
    content: bytes,
    pack: bytes | None,
    packs: list[dict[str, bytes]] | None,
) -> bool:
    if place == PlaceKind.OBJECT and keys.stored_object(session or "", content) in objects:
        return False
    return barred.isdisjoint({pack or b"", *(use["pack"] for use in packs or ())})


def ensure_not_condemned(tree: Tree, path: str, opened: Open) -> None:
    """Raise Conflict if an entry, or what is below it, needs a condemned object. "": the whole tree.

    Inner nodes say which packs their leaves need, so only leaves that need a condemned one are read.
    """
    if not opened.has_dead:
        return
    if path and (row := tree.row(path)) is not None:
        ensure_rows_not_condemned(row, opened)
    dead = opened.dead_packs | {object_id(key) for key in opened.dead_objects}
    for node in nodes_below(tree.nodes, tree.root, path):
        if node.id in opened.dead_nodes:
            raise _condemned(node.prefix or path)
        # The pointer to a root does not list the packs.
        if not node.level and (node is tree.root or not dead.isdisjoint(pack for pack, _ in node.packs)):
            ensure_rows_not_condemned(between(tree.nodes.rows(node), path, recursive=True), opened)


def ensure_rows_not_condemned(rows: pa.RecordBatch, opened: Open) -> None:
    """Raise Conflict if one of these rows needs a condemned object."""
    is_usable = _without(rows, opened.dead_packs, opened.dead_objects)
    if not is_usable.all():
        raise _condemned(entry_at(rows, int(np.flatnonzero(~is_usable)[0])).path)


def _condemned(path: str) -> Conflict:
    return Conflict(
        f"'{path}' can't be reused now: gc has condemned objects that it needs",
        "run the same command again after gc has ended, or upload the data",
    )


# -- what was found damaged --------------------------------------------------------------------------------------------


def ensure_readable(nodes: Nodes, contents: Contents, root: Pointer, damaged: Noted) -> None:
    """Raise Corrupt if a tree needs an object that was found damaged and still is.

    The chunks that it needs of damaged packs are read, since the rest of such a pack may be sound.
    """
    near = damaged.packs | {object_id(key) for key in damaged.objects}
    for leaf in _leaves(nodes, root, damaged):
        if leaf is root or not near.isdisjoint(pack for pack, _ in leaf.packs):
            rows = nodes.rows(leaf)
            _read(contents, rows.filter(pa.array(~_without(rows, damaged.packs, damaged.objects))))


def _leaves(nodes: Nodes, pointer: Pointer, damaged: Noted) -> Iterator[Pointer]:
    """Yield the leaves of a tree. Raises Corrupt if a node that was found damaged still is."""
    if pointer.id in damaged.nodes:
        try:
            nodes.check(pointer)
        except (Corrupt, NotFound) as error:
            raise _not_reused(f"the content of '{pointer.prefix}'", error) from error
    if not pointer.level:
        yield pointer
        return
    for child in nodes.children(pointer):
        yield from _leaves(nodes, child, damaged)


def _read(contents: Contents, rows: pa.RecordBatch) -> None:
    """Read the bytes of rows. Raises Corrupt for the first ones that can't be read, but not for erased ones."""

    def refuse(row: int, error: SheafError) -> None:
        raise _not_reused(f"'{entry_at(rows, row).path}'", error)

    for _ in contents.files(rows, lambda row: None, refuse):
        pass
    for entry in entries(rows.filter(pa.array(~is_gathered(rows)))):
        try:
            for _ in contents.blocks(entry):
                pass
        except Erased:
            continue
        except DAMAGE as error:
            raise _not_reused(f"'{entry.path}'", error) from error


def _not_reused(what: str, error: SheafError) -> Corrupt:
    hint = "write it again or remove it in the same step, upload the whole folder, or run `sheaf store repair`"
    return Corrupt(f"{what} can't be reused: {error.message}", hint)
