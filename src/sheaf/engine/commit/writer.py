"""Write one bundle: session, packs, index, nodes, record, in this order (ARCHITECTURE.md, "Life of a write")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.dedup import ChunkIndex, ListedSegments, merge_index
from sheaf.engine.chunks.ingest import Ingest
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.chunks.pack_writer import PackSink
from sheaf.engine.commit.reuse import (
    ensure_not_condemned,
    ensure_readable,
    ensure_rows_not_condemned,
    is_leaf_usable,
    usable,
)
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log
from sheaf.engine.manifest.node_store import Nodes, root_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_writer import Change, Piece, TreeWriter, leaves_of
from sheaf.engine.sessions.sessions import Ending, Open, end_session, ensure_session_open, open_session
from sheaf.errors import Bug, Conflict, Corrupt, Refused, SheafError, Unavailable
from sheaf.model.names import check_ref_name
from sheaf.model.nodes import Pointer
from sheaf.model.records import AddBundle, BundleRecord, MoveBranch, RepoOp, RepoState, SetLabel

__all__ = ["Draft", "StoreWriter", "Writer", "committed"]

P = ParamSpec("P")


class Draft(Struct, frozen=True):
    """The user's part of a bundle's descriptor.

    ``expect``: the bundle that the branch must point to ("" for none), None: any. ``move_label``: the label may exist
    already; without it that is refused.
    """

    message: str
    branch: str | None = "main"
    label: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    expect: str | None = None
    parents: tuple[str, ...] = ()
    run: str = ""
    move_label: bool = False

    def __post_init__(self) -> None:
        for name in (self.branch, self.label):
            if name is not None:
                check_ref_name(name)

    def ensure_names(self, state: RepoState) -> None:
        """Raise AlreadyExists if a commit could only fail because of its names. The commit checks this again."""
        state.ensure_not_shadowed(branch=self.branch, label=self.label)
        if self.label and not self.move_label:
            state.ensure_label_free(self.label)


class StoreWriter:
    """Stores contents and nodes for one session, or one split of a diamond."""

    def __init__(
        self,
        core: Core,
        nodes: Nodes,
        opened: Open,
        name: str,
        *,
        allow_erased: bool = False,
        verify: bool = False,
        is_sparing: bool = False,
    ) -> None:
        """``verify``: read back what is reused, and store damaged objects again.

        ``is_sparing``: see :class:`ListedSegments`.
        """
        self._core = core
        self._nodes = nodes
        self._open = opened
        self._name = name
        self._verify = verify
        # The index was listed after the session was registered and condemned/ was listed: otherwise gc could delete a
        # pack that is found here.
        self._segments = ListedSegments(core, opened, is_sparing=is_sparing)
        self._index = ChunkIndex(self._segments, opened.unlisted_packs, partial(load_table, core), core.limits)
        self.sink = PackSink(core, name, self._index)
        self.ingest = Ingest(core, self.sink, self._index, opened.erased, allow_erased=allow_erased, verify=verify)

    def usable(self, rows: pa.RecordBatch | pa.Table) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows of a live bundle that may be reused instead of storing a file's bytes again."""
        alive = usable(rows, self._open)
        if not self._open.erased:
            return alive
        gone = pa.array(sorted(self._open.erased), pa.binary(32))
        alive &= ~pc.is_in(rows["content"], value_set=gone).to_numpy(zero_copy_only=False)
        return alive

    def is_leaf_usable(self, leaf: Pointer, contents: npt.NDArray[np.uint8]) -> bool:
        """True if a leaf of a live bundle, with these contents, may be reused instead of its rows."""
        return is_leaf_usable(leaf, contents, self._open)

    def build(self, pieces: Iterable[Piece], base: Tree | None = None) -> Pointer:
        """Make everything stored so far durable, then write a tree of these rows and usable leaves.

        ``base``: a live bundle whose nodes may be reused.
        """
        return self._beside_index(self._trees(base).build, pieces)

    def edit(self, base: Pointer, changes: list[Change]) -> Pointer:
        """Make everything stored so far durable, then write a live bundle's tree with some rows changed."""
        return self._beside_index(self._trees(None).edit, base, changes)

    def ensure_not_condemned(self, tree: Tree, path: str = "") -> None:
        """Raise Conflict if an entry of a live bundle, or its whole tree (""), can't be reused unchanged."""
        ensure_not_condemned(tree, path, self._open)

    def ensure_rows_not_condemned(self, rows: pa.RecordBatch) -> None:
        """Raise Conflict if one of these rows of a live bundle can't be reused."""
        ensure_rows_not_condemned(rows, self._open)

    def _trees(self, base: Tree | None) -> TreeWriter:
        self.sink.flush()
        reuse = {pointer.full: pointer for pointer in self.reusable(base)} if base else {}
        return TreeWriter(self._core, self._nodes, self._name, reuse)

    def reusable(self, base: Tree) -> list[Pointer]:
        """Return the nodes of a live bundle's tree that a new tree may contain, if they can be read.

        Inner nodes can be; if one can't, no node is returned.
        """
        try:
            nodes = list(leaves_of(base.nodes, base.root))
        except Corrupt:
            return []
        barred = self._open.dead_nodes | self._open.damaged.nodes
        found = [pointer for pointer in nodes if pointer.id not in barred]
        return self._nodes.sound(found) if self._verify else found

    def _beside_index(self, make: Callable[P, Pointer], *args: P.args, **kwargs: P.kwargs) -> Pointer:
        """Write a tree, and concurrently the index of the packs that are durable now: neither refers to the other."""
        listed = self._core.io.submit(self.sink.list_durable)
        try:
            root = make(*args, **kwargs)
        finally:
            # Wait even after an error: the session must not end while its packs are being listed.
            wait([listed])
        listed.result()
        if self._open.damaged:
            ensure_readable(self._nodes, Contents(self._core), root, self._open.damaged)
        return root

    def stop(self) -> None:
        """End without a commit: list what is durable for the next attempt. Failures are ignored."""
        try:
            self.sink.stop()
        except SheafError:
            return

    def tidy(self) -> None:
        """Merge the dedup index where it has many small objects. Failures are ignored, because this only saves time later."""
        try:
            merge_index(self._core, self._open, self._segments.crowd())
        except SheafError:
            return


class Writer:
    """A session that ends with one bundle, or with nothing. Use it as a context manager."""

    def __init__(
        self,
        core: Core,
        nodes: Nodes,
        log: Log[RepoState, RepoOp],
        repo_id: str,
        kind: str,
        *,
        allow_erased: bool = False,
        verify: bool = False,
        is_sparing: bool = False,
    ) -> None:
        """``allow_erased``, ``verify``, ``is_sparing``: as for :class:`StoreWriter` and its ``ingest``."""
        self._core = core
        self._log = log
        self._over = False
        self.open = open_session(core, repo_id, log, kind)
        self._ending = Ending(core, self.open.id)
        try:
            options = {"allow_erased": allow_erased, "verify": verify, "is_sparing": is_sparing}
            self.store = StoreWriter(core, nodes, self.open, self.open.id, **options)
        except BaseException:
            end_session(core, self.open.id)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._over = True
        # If the store is unavailable, the attempt would only fail again.
        if error is not None and not isinstance(error, Unavailable):
            self.store.stop()
        self._ending.__exit__(kind, error, trace)
        # The damage may be that gc has ended this session and swept what it was reading: report that instead.
        if isinstance(error, Corrupt):
            ensure_session_open(self._log, self.open.session)

    def commit(
        self, root: Pointer, files: int, draft: Draft, *, concurrently: Callable[[], object] = lambda: None
    ) -> BundleRecord:
        """Write the record that makes the bundle. ``root`` is durable already; ``files`` counts all but folders.

        ``concurrently`` is called before, while the log is read; nothing is committed if it raises.

        Raises:
            AlreadyExists: the branch would be a new one with a label's name, or the label one with a branch's; or the
                label is set already, and the draft doesn't move it.
            Conflict: the branch doesn't point to ``draft.expect``, or gc has ended this session.
            Refused: the session has ended.
        """
        # gc would not wait for this commit, because the session has ended.
        if self._over:
            raise Refused("this upload has ended and can't commit anything more", "start another one")
        with self._ending.committing():
            return committed(self._core, self._log, self.open, root, files, draft, concurrently=concurrently)

    def append(self, decide: Callable[[Head[RepoState]], tuple[RepoOp, ...]]) -> RepoState:
        """Write the record that ``decide`` returns, to commit what was stored. Raises Conflict if gc has ended this session."""

        def checked(head: Head[RepoState]) -> tuple[RepoOp, ...]:
            ensure_session_open(self._log, self.open.session, head.n)
            return decide(head)

        with self._ending.committing():
            return self._log.append(checked).state

    def tidy(self) -> None:
        """Merge many small objects after a commit, to save the next writer time."""
        self.store.tidy()
        self._log.roll()


def committed(
    core: Core,
    log: Log[RepoState, RepoOp],
    opened: Open,
    root: Pointer,
    files: int,
    draft: Draft,
    *,
    concurrently: Callable[[], object] = lambda: None,
) -> BundleRecord:
    """Append the record that adds a bundle, moves its branch and sets its label; returns the bundle."""
    made: list[BundleRecord] = []

    def decide(head: Head[RepoState]) -> tuple[RepoOp, ...]:
        ensure_session_open(log, opened.session, head.n)
        now = head.state.branches.get(draft.branch) if draft.branch else None
        at = now.bundle if now else None
        if draft.expect is not None and draft.expect != (at or ""):
            raise Conflict(
                f"branch '{draft.branch}' changed in the meantime: it points to {at or 'nothing'}",
                "check it and try again",
            )
        draft.ensure_names(head.state)
        parents = tuple(dict.fromkeys([*([at] if at else []), *draft.parents]))
        bundle = BundleRecord(
            opened.id,
            root.logical.hex(),
            root_of(root),
            draft.message,
            core.now(),
            files,
            core.author,
            parents,
            dict(draft.meta),
            draft.run,
        )
        made[:] = [bundle]
        ops: list[RepoOp] = [AddBundle(bundle)]
        if draft.branch:
            ops.append(MoveBranch(draft.branch, bundle.id, at))
        if draft.label:
            ops.append(SetLabel(draft.label, bundle.id, check=not draft.move_label))
        return head.state.unshadowed(tuple(ops))

    log.append(decide, concurrently=concurrently)
    if not made:
        raise Bug("a commit without a bundle")
    return made[0]
