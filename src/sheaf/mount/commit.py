"""Commit the contents of a writable mount as a bundle, while it is mounted or afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

import pyarrow as pa
from msgspec.structs import replace

from sheaf.engine.chunks.ingest import Ingest, StoredFile
from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.context import Context
from sheaf.engine.log.resolve import alive
from sheaf.errors import InvalidInput, NotFound, Refused, SheafError
from sheaf.fork import Lock, Threads
from sheaf.format.node_v1 import ROWS
from sheaf.model.entries import Kind, PlaceKind, clamp_time
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split
from sheaf.mount.branch_commit import BranchCommitter
from sheaf.mount.fuse.port import ROOT_INO
from sheaf.mount.journal import About
from sheaf.mount.overlay import OverlayFs
from sheaf.mount.overlay_diff import OverlayDifference, Spilled, difference
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.transfer.local.group import groups_of

__all__ = ["Committer", "Every"]

_BLOCK: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class _Stored:
    """A content that an earlier commit of this mount has stored: the file's version then, and where it is stored."""

    version: int
    placed: StoredFile


class Committer:
    """Commits the contents of a mount. One commit at a time; thread-safe."""

    def __init__(self, repo: Repo, fs: OverlayFs, about: About, base: Bundle | None) -> None:
        self._repo = repo
        self._fs = fs
        self._about = about
        self._base = base
        self._branch = BranchCommitter(repo, fs.spill, about, base)
        self._lock = Lock()
        self._stored: dict[int, _Stored] = {}
        self._seen = -1
        self.last: Bundle | None = None  #: the bundle of the last commit
        self._own: Bundle | None = None  #: the bundle of the last commit to the mount's own branch

    @property
    def is_changed(self) -> bool:
        """True if there are uncommitted changes."""
        return self._seen != self._fs.state.changes

    @property
    def is_empty(self) -> bool:
        """True if the mount began empty, is empty, and no commit has contents."""
        return self._base is None and self.last is None and not self._fs.names(ROOT_INO)

    def resume(self, commits: list[str]) -> None:
        """Load the commits of an earlier process, given as bundle ids in order. Ids that do not exist are skipped."""
        self.last = self._own = self._branch.resume(commits)

    def commit(
        self,
        message: str | None = None,
        label: str | None = None,
        *,
        branch: str | None = None,
        move_label: bool = False,
        allow_empty: bool = True,
    ) -> Bundle:
        """Commit the current contents of the mount. Concurrent writes are left for the next commit.

        ``branch``: the branch to commit to, by default the mount's own.

        Raises:
            Conflict: others have changed the same paths on the branch.
            Refused: there are no files, without ``allow_empty``.
        """
        about = self._about
        with self._lock:
            fs = self._fs
            with fs.lock:
                seen, found = (
                    fs.state.changes,
                    difference(fs.state, lambda fill: fs.spill.stat(fill).st_mtime_ns),
                )
                fs.frozen = {file.fill for file in found.spilled}
            try:
                if not (allow_empty or self._files(found)):
                    raise Refused(
                        "nothing was committed: there are no files", "to commit an empty bundle, pass --allow-empty"
                    )
                draft = Draft(message or about.message, branch or about.branch, label, move_label=move_label)
                bundle = self._commit(found, draft)
            finally:
                self._unfreeze()
            self.last = bundle
            if draft.branch == about.branch:
                self._own, self._seen = bundle, seen
            return bundle

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a request to the control file, and return what to send as JSON.

        ``{"do": "commit"}``, with optional message, label and branch, commits and returns the bundle; an empty request
        returns facts about the mount. Raises InvalidInput for other requests, and what :meth:`commit` raises.
        """
        if asked.get("do") == "commit":
            bundle = self.commit(
                asked.get("message"),
                asked.get("label"),
                branch=asked.get("branch"),
                move_label=bool(asked.get("move_label")),
                allow_empty=bool(asked.get("allow_empty")),
            )
            return {"bundle": bundle.id, "version": bundle.version, "repo": bundle.repo_name}
        if asked:
            raise InvalidInput(f"unknown request '{asked.get('do')}' to a mount", "the only request is: commit")
        about = self._about
        last = self.last.id if self.last else None
        return {"repo": about.repo, "base": about.base, "last": last, "spill": str(self._fs.spill.folder)}

    def _unfreeze(self) -> None:
        fs = self._fs
        with fs.lock:
            frozen, fs.frozen = fs.frozen, set()
            used = {node.fill for node in fs.state.nodes.values()}
            for fill in frozen - used:
                fs.spill.drop(fill)

    # -- one commit ----------------------------------------------------------------------------------------------------

    def _commit(self, found: OverlayDifference, draft: Draft) -> Bundle:
        """Store the spilled files, write the tree and commit it. Contents of earlier commits are referenced."""
        context = self._repo.context
        context.ensure_writable()
        draft.ensure_names(context.log.head().state)
        with Writer(context.core, context.nodes, context.log, context.entry.id, "edit") as writer:
            is_kept = self._check_alive(context) and not (writer.open.has_dead or writer.open.damaged)
            if self._base is not None:
                writer.store.ensure_not_condemned(self._base.tree)
            placed = self._store(writer.store.ingest, found.spilled, context.core.workers, is_kept=is_kept)
            found.rows.update(_rows_of(zip(found.spilled, placed, strict=True)))
            # The last commit to the mount's own branch may contain files of others, which the tree for another branch
            # lacks. Such a commit must not be the parent there.
            parent = (self._own if draft.branch == self._about.branch else None) or self._base
            draft = replace(draft, parents=(parent.id,) if parent else ())
            if self._branch.is_followed(draft):
                bundle = self._branch.commit(writer, found.rows, self._whole(writer, found), draft)
            else:
                bundle = Bundle(context, writer.commit(*self._whole(writer, found)(), draft))
            writer.tidy()
        self._stored = {file.ino: _Stored(file.version, one) for file, one in zip(found.spilled, placed, strict=True)}
        return bundle

    def _files(self, found: OverlayDifference) -> int:
        return found.files + (self._base.files if self._base else 0)

    def _whole(self, writer: Writer, found: OverlayDifference) -> Callable[[], tuple[Pointer, int]]:
        """Return a function that builds the tree of all that the mount shows, and counts its files."""
        return lambda: (self._root(writer, found), self._files(found))

    def _check_alive(self, context: Context) -> bool:
        """True if this commit may reference contents that the last commit stored.

        Call it after this commit's session was registered, or gc could delete the contents after the test. Raises
        NotFound if the bundle below the mount was deleted.
        """
        if self._base is not None:
            alive(context.core, self._base.repo_id, self._base.id)
        if self.last is None:
            return False
        try:
            alive(context.core, self.last.repo_id, self.last.id)
        except NotFound:
            return False
        return True

    def _root(self, writer: Writer, found: OverlayDifference) -> Pointer:
        rows = sorted(found.rows.items())
        if self._base is not None:
            return writer.store.edit(self._base.tree.root, rows)
        batches = [row for _, row in rows if row is not None]
        return writer.store.build(pa.Table.from_batches(batches, ROWS).combine_chunks().to_batches(8192))

    # -- contents ------------------------------------------------------------------------------------------------------

    def _store(self, ingest: Ingest, files: list[Spilled], workers: int, *, is_kept: bool) -> list[StoredFile]:
        """Store the files' contents that no earlier commit has stored, many files at a time."""
        placed: dict[int, StoredFile] = {}
        todo: list[int] = []
        for i, file in enumerate(files):
            known = self._stored.get(file.ino)
            if is_kept and known is not None and known.version == file.version:
                placed[i] = known.placed
            else:
                todo.append(i)
        limits = self._repo.context.core.limits
        sizes = ((i, self._fs.spill.stat(files[i].fill).st_size) for i in todo)
        groups = groups_of(sizes, limits.group_files, limits.group_bytes, alone=limits.whole_bytes)
        with Threads(workers, thread_name_prefix="sheaf-commit") as pool:
            for done in pool.map(lambda group: self._store_group(ingest, files, group), groups):
                placed.update(done)
        return [placed[i] for i in range(len(files))]

    def _store_group(self, ingest: Ingest, files: list[Spilled], group: list[int]) -> dict[int, StoredFile]:
        paths = [self._fs.spill.path(files[i].fill) for i in group]
        if len(group) == 1:  # it may be large
            return {group[0]: ingest.store_stream(_blocks(paths[0]))}
        contents = []
        for path in paths:
            with open(path, "rb", buffering=0) as file:
                contents.append(file.read())
        return dict(zip(group, ingest.store_whole(contents), strict=True))


def _blocks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            yield block


def _rows_of(files: Iterable[tuple[Spilled, StoredFile]]) -> dict[bytes, pa.RecordBatch]:
    """Return the manifest rows of stored files, by order key."""
    keys, values = [], []
    for file, placed in files:
        folder, name = split(file.path)
        keys.append(order_key(folder, name))
        values.append(_values(folder, name, file, placed))
    if not values:
        return {}
    batch = pa.RecordBatch.from_pylist(values, ROWS)
    return {key: batch.slice(i, 1) for i, key in enumerate(keys)}


def _values(folder: str, name: str, file: Spilled, placed: StoredFile) -> dict[str, Any]:
    """Return the columns of a file's manifest row, by name."""
    row: dict[str, Any] = dict.fromkeys(ROWS.names)
    row |= {"folder": folder, "name": name, "kind": int(Kind.FILE), "mode": file.mode}
    row |= {"mtime": clamp_time(file.mtime)}
    row |= {"size": placed.size, "content": placed.content, "place": int(placed.place)}
    if placed.place != PlaceKind.NONE:
        row |= {"pack": placed.pack, "offset": placed.offset, "stored": placed.stored}
    if placed.place == PlaceKind.RECIPE:
        row |= {"recipe": placed.recipe}
        row["packs"] = [{"pack": pack, "live": live} for pack, live in placed.packs.items()]
    return row


class Every:
    """Commit periodically while mounted; call ``on_commit`` with each bundle and ``complain`` with each failure."""

    def __init__(
        self,
        committer: Committer,
        seconds: float,
        on_commit: Callable[[Bundle], None],
        complain: Callable[[SheafError], None],
    ) -> None:
        self._committer = committer
        self._seconds = seconds
        self._on_commit = on_commit
        self._complain = complain
        self._stop = Event()
        self._thread = Thread(target=self._run, name="sheaf-commit-every", daemon=True)

    def start(self) -> None:
        """Start committing. Call it when the mount can be used."""
        self._thread.start()

    def stop(self) -> None:
        """Stop committing, and wait for a running commit."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            if not self._committer.is_changed:
                continue
            try:
                self._on_commit(self._committer.commit())
            except SheafError as error:
                self._complain(error)
