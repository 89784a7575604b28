"""Edits: commits made of changes to a bundle, without a local folder."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
from msgspec.structs import replace

from sheaf.engine.chunks.ingest import StoredFile
from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.context import Context
from sheaf.engine.log.resolve import alive
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.manifest.rows import folder_entry, place_of, symlink_entry
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_edit import Changes
from sheaf.errors import Conflict, InvalidInput, NotFound
from sheaf.format.node_v1 import ROWS
from sheaf.local_errors import printable
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import check_path, join, relative, split
from sheaf.model.records import BundleRecord as Descriptor
from sheaf.repo.bundle import Bundle
from sheaf.transfer.local.hashes import hash_file
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.read import BLOCK, read_blocks
from sheaf.transfer.local.scan import scan
from sheaf.transfer.upload import folder_options

__all__ = ["Edit"]


class Edit:
    """Changes to a bundle, as a context manager. :meth:`commit` makes one bundle of all of them; without it, none is made."""

    def __init__(
        self,
        context: Context,
        draft: Draft,
        base: str | None,
        *,
        allow_erased: bool = False,
    ) -> None:
        self._context = context
        self._draft = draft
        self._wanted = base
        self._allow_erased = allow_erased
        self._sources: dict[tuple[str, str], Tree] = {}

    def __enter__(self) -> Self:
        c = self._context
        self._writer = Writer(c.core, c.nodes, c.log, c.entry.id, "edit", allow_erased=self._allow_erased)
        try:
            self._begin()
        except BaseException as error:
            self._writer.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def _begin(self) -> None:
        c = self._context
        # The session's own reading of the log, made after it was registered.
        head = self._writer.open.head or c.log.head()
        state = head.state
        self._draft.ensure_names(state)
        target = state.branches.get(self._draft.branch or "")
        self._expect = target.bundle if target else ""
        if self._draft.expect not in (None, self._expect):
            raise Conflict(
                f"branch '{self._draft.branch}' changed in the meantime: it points to {self._expect or 'nothing'}",
                "check it and try again",
            )
        self._base: Descriptor | None = None
        if self._wanted is not None:
            self._base = c.refs.resolve(self._wanted)
        elif target:
            self._base = c.refs.get(target.bundle, head)
            c.refs.ensure_not_quarantined(self._base, f"branch '{self._draft.branch}'")
        self._root = pointer_of(self._base.root) if self._base else self._writer.store.build([])
        tree = Tree(c.nodes, self._root)
        self._writer.store.ensure_not_condemned(tree)
        self._changes = Changes(tree)

    def put(
        self,
        path: str,
        data: bytes | BinaryIO,
        *,
        mode: int = 0o644,
        mtime_ns: int | None = None,
        attrs: Mapping[str, str] | None = None,
    ) -> None:
        """Write a file. ``mode``: permission bits. Raises InvalidInput if a parent of the path is a file."""
        ingest = self._writer.store.ingest
        placed = ingest.store_bytes(data) if isinstance(data, bytes) else ingest.store_stream(_blocks(data))
        self._set(
            path, placed, mode, self._context.core.clock.now_ns() if mtime_ns is None else mtime_ns, dict(attrs or {})
        )

    def put_file(self, path: str, source: str | Path) -> None:
        """Write a file from a local one, with its mode and mtime.

        Raises:
            NotFound, Denied, Conflict: the local file can't be read, or changes while it is read.
            InvalidInput: it is not a regular file, or a parent of the path is a file.
        """
        _ensure_regular_file(source)
        erased = self._writer.store.ingest.erased
        if erased.contents and erased.may_be(_size_of(source)):
            erased.refuse(hash_file(str(source)), f"'{path}'")
        for blocks in read_blocks(str(source)):
            placed = self._writer.store.ingest.store_stream(blocks)
            if blocks.state is not None:
                self._set(path, placed, blocks.state.mode, blocks.state.mtime, {})
                return

    def put_folder(self, path: str, source: str | Path) -> None:
        """Write the contents of a local folder below the path ("" is the root), without ignored files.

        Raises:
            NotFound, InvalidInput, Denied, Conflict: for an entry of the folder.
        """
        exclude = folder_options(self._context.core, None, source).exclude
        for batch in scan(Path(source), ignore=Ignore(), exclude=exclude):
            for row in range(len(batch)):
                at, mtime = join(path.strip("/"), batch.path(row)), int(batch.mtime[row])
                if batch.kind[row] == Kind.FOLDER:
                    self.mkdir(at, mode=int(batch.mode[row]), mtime_ns=mtime)
                elif (target := batch.target[row]) is not None:
                    self._changes.put(symlink_entry(at, target, mtime))
                else:
                    self.put_file(at, Path(source, batch.path(row)))

    def mkdir(self, path: str, *, mode: int = 0o755, mtime_ns: int | None = None) -> None:
        """Create a folder and its parents, or set the mode and mtime of an existing one. Raises InvalidInput."""
        mtime = self._context.core.clock.now_ns() if mtime_ns is None else mtime_ns
        self._changes.put(folder_entry(path.strip("/"), mode & 0o777, mtime))

    def symlink(self, path: str, target: str) -> None:
        """Write a symlink."""
        self._changes.put(symlink_entry(path, target, self._context.core.clock.now_ns()))

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its contents. Raises NotFound."""
        self._changes.remove(check_path(path.strip("/")))

    def copy(self, source: Bundle, source_path: str, path: str) -> None:
        """Copy a file or folder from another bundle of this store, by reference. Raises NotFound."""
        tree = self._alive(source)
        source_path, path = source_path.strip("/"), check_path(path.strip("/"))
        entry = tree.find(check_path(source_path))
        if entry is None:
            raise NotFound(f"'{source_path}' not found in bundle {source.id}")
        self._copy_one(tree, source_path, path)
        if entry.kind == Kind.FOLDER:
            self._copy_below(tree, source_path, path)

    def commit(self) -> Bundle:
        """Commit the changes as a bundle. Raises Conflict if the branch moved since the edit began; then repeat the edit."""
        store = self._writer.store
        root = store.edit(self._root, self._changes.changes())
        files = (self._base.files if self._base else 0) + self._changes.files
        parents = (self._base.id,) if self._base else ()
        draft = replace(self._draft, expect=self._expect, parents=parents)
        may_write = partial(self._context.ensure_writable, is_prepared=True)
        bundle = self._writer.commit(root, files, draft, concurrently=may_write)
        self._writer.tidy()
        return Bundle(self._context, bundle)

    def _set(self, path: str, placed: StoredFile, mode: int, mtime: int, attrs: dict[str, str]) -> None:
        folder, name = split(check_path(path.strip("/")))
        place = place_of(placed)
        entry = ManifestEntry(
            folder, name, Kind.FILE, mode & 0o777, mtime, placed.size, placed.content, None, attrs, place
        )
        self._changes.put(entry, list(placed.packs.items()))

    def _alive(self, source: Bundle) -> Tree:
        """The source's tree, if it is alive: looked up after this session was registered, so gc leaves it alone."""
        key = source.repo_id, source.id
        if key not in self._sources:
            self._sources[key] = Tree(self._context.nodes, pointer_of(alive(self._context.core, *key).root))
        return self._sources[key]

    def _copy_one(self, tree: Tree, source: str, path: str) -> None:
        row = tree.row(source)
        if row is not None:
            self._writer.store.ensure_rows_not_condemned(row)
            self._changes.put_row(_renamed(row, *split(path)))

    def _copy_below(self, tree: Tree, source: str, path: str) -> None:
        for batch in tree.batches(source):
            self._writer.store.ensure_rows_not_condemned(batch)
            folders, names = batch["folder"].to_pylist(), batch["name"].to_pylist()
            for i, (folder, name) in enumerate(zip(folders, names, strict=True)):
                self._changes.put_row(_renamed(batch.slice(i, 1), join(path, relative(folder, source)), name))


def _renamed(row: pa.RecordBatch, folder: str, name: str) -> pa.RecordBatch:
    moved = row.set_column(0, ROWS.field("folder"), pa.array([folder], pa.string()))
    return moved.set_column(1, ROWS.field("name"), pa.array([name], pa.string()))


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        if not isinstance(block, bytes):
            raise InvalidInput("the stream returns text, not bytes", "open it in binary mode")
        yield block


def _ensure_regular_file(path: str | Path) -> None:
    """To open a pipe would wait for somebody who writes to it, maybe for ever."""
    try:
        mode = Path(path).lstat().st_mode
    except OSError:
        return  # reading it says what is wrong
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise InvalidInput(f"'{printable(str(path))}' is not a file", "name a regular file")


def _size_of(path: str | Path) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0  # reading it says what is wrong
