"""Edits: commits made of changes to a bundle, without a local folder and without a download."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from msgspec.structs import replace

from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.chunks.ingest import StoredFile
from sheaf.engine.chunks.splice_file import StoredEntry, splice_file
from sheaf.engine.commit.writer import Draft, Writer
from sheaf.engine.context import Context
from sheaf.engine.log.record_log import Head
from sheaf.engine.log.resolve import alive
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.manifest.overlap import first_overlap
from sheaf.engine.manifest.rows import folder_entry, place_of, symlink_entry
from sheaf.engine.manifest.tree import Tree, entry_at
from sheaf.engine.manifest.tree_edit import BundleTree, Changes
from sheaf.errors import Conflict, InvalidInput, NotFound, Refused
from sheaf.local_errors import printable, translated
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.ids import ZERO_HASH
from sheaf.model.nodes import Pointer
from sheaf.model.paths import check_path, join, split
from sheaf.model.records import BundleRecord as Descriptor
from sheaf.model.records import RepoState
from sheaf.repo.bundle import Bundle
from sheaf.transfer.local.hashes import hash_file
from sheaf.transfer.local.ignore import Ignore
from sheaf.transfer.local.read import BLOCK, read_blocks
from sheaf.transfer.local.scan import scan
from sheaf.transfer.upload import folder_options

__all__ = ["Edit", "EditPlan"]

_TRIES: Final = 20  # commits by other writers that may come first, one after another


class Edit:
    """Changes to a bundle, as a context manager. :meth:`commit` makes one bundle of all of them; without it, none is made.

    Files and folders that are moved, copied or kept are used by reference, so their size does not matter. If others
    commit to the branch before this edit does, it is repeated on top of their commits, unless both changed the same
    paths.
    """

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
        self._sources: dict[tuple[str, str], BundleTree] = {}
        self._written: set[bytes] = set()  # contents that this edit has stored
        self._is_committed = False
        self._is_spoiled = False  # whether parts of an erased content were stored
        self._steps: list[Callable[[Changes], None]] = []

    def __enter__(self) -> Self:
        c = self._context
        self._writer = Writer(
            c.core, c.nodes, c.log, c.entry.id, "edit", allow_erased=self._allow_erased, is_sparing=True
        )
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
        head = self._head()
        state = head.state
        self._draft.ensure_names(state)
        target = state.branches.get(self._draft.branch or "")
        self._expect = target.bundle if target else ""
        if self._draft.expect not in (None, self._expect):
            raise self._moved()
        self._base: Descriptor | None = None
        if self._wanted is not None:
            self._base = c.refs.resolve(self._wanted)
        elif target:
            self._base = c.refs.get(target.bundle, head)
            c.refs.ensure_not_quarantined(self._base, f"branch '{self._draft.branch}'")
        self._changes = self._changes_of(self._base)

    def _head(self) -> Head[RepoState]:
        # The session's own reading of the log, made after it was registered.
        return self._writer.open.head or self._context.log.head()

    def _changes_of(self, base: Descriptor | None) -> Changes:
        """Return changes of a bundle, of an empty one for None. Raises Conflict if it needs condemned objects."""
        if base is None:
            return Changes(self._context.nodes, None)
        tree = Tree(self._context.nodes, pointer_of(base.root))
        self._ensure_usable(tree)
        return Changes(self._context.nodes, BundleTree(tree, base.files))

    def _ensure_usable(self, tree: Tree, path: str = "") -> None:
        self._writer.store.ensure_not_condemned(tree, path)

    # -- changes -------------------------------------------------------------------------------------------------------

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
        self._set(path, self._store(data), mode, self._now() if mtime_ns is None else mtime_ns, dict(attrs or {}))

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
            with self._spoiling():
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
                    self._put(symlink_entry(at, target, mtime))
                else:
                    self.put_file(at, Path(source, batch.path(row)))

    def append(self, path: str, data: bytes | BinaryIO) -> None:
        """Add bytes to the end of a file. Raises as :meth:`splice`."""
        self._splice(path, None, 0, data)

    def splice(self, path: str, offset: int, length: int, data: bytes | BinaryIO = b"") -> None:
        """Replace ``length`` bytes of a file from ``offset`` on by other ones, of any number.

        Chunks before and after the change are used by reference. The other bytes are read, for the hash of the contents.

        Raises:
            NotFound: the file does not exist.
            InvalidInput: it is not a file, or the range is not inside it.
            Erased: its contents were erased.
        """
        if offset < 0 or length < 0:
            raise InvalidInput(f"invalid range: {length} bytes from {offset} on", "expected whole numbers from 0 on")
        self._splice(path, offset, length, data)

    def mkdir(self, path: str, *, mode: int = 0o755, mtime_ns: int | None = None) -> None:
        """Create a folder and its parents, or set the mode and mtime of an existing one. Raises InvalidInput."""
        mtime = self._now() if mtime_ns is None else mtime_ns
        self._put(folder_entry(path.strip("/"), mode & 0o777, mtime))

    def symlink(self, path: str, target: str) -> None:
        """Write a symlink."""
        self._put(symlink_entry(path, target, self._now()))

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its contents. Raises NotFound."""
        at = check_path(path.strip("/"))
        self._do(lambda changes: changes.remove(at))

    def move(self, source: str, path: str) -> None:
        """Move a file or folder. A file replaces another file at the new path.

        Raises:
            NotFound: ``source`` does not exist.
            InvalidInput: ``path`` is below ``source``, or exists and one of the two is a folder.
        """
        before, after = check_path(source.strip("/")), check_path(path.strip("/"))
        self._do(lambda changes: changes.move(before, after))

    def copy(self, source_path: str, path: str, *, source: Bundle | None = None) -> None:
        """Copy a file or folder. A folder is merged into an existing one.

        Args:
            source: the bundle to copy from, of any repo of this store; by default what this edit has changed so far.

        Raises:
            NotFound: ``source_path`` does not exist there.
            InvalidInput: a file and a folder would replace each other, or a parent of ``path`` is a file.
        """
        before, after = check_path(source_path.strip("/")), check_path(path.strip("/"))
        if source is None:
            self._do(lambda changes: changes.copy(before, after))
            return
        other = self._alive(source)
        if other.tree.find(before) is None:
            raise NotFound(f"'{before}' not found in bundle {source.id}")
        self._ensure_usable(other.tree, before)
        self._do(lambda changes: changes.graft(other, before, after))

    def is_folder(self, path: str) -> bool:
        """True if a path is a folder after the changes so far."""
        return not path.strip("/") or self._changes.kind(check_path(path.strip("/"))) == Kind.FOLDER

    @property
    def files(self) -> int:
        """The number of files after the changes so far. This may read the names in folders that were removed or copied."""
        return self._changes.files()

    # -- commit --------------------------------------------------------------------------------------------------------

    def commit(self) -> Bundle:
        """Commit the changes as a bundle.

        Raises:
            Conflict: the branch moved since the edit began, and others changed the same paths; or a base or a bundle to
                expect was given.
            Refused: a stream was refused because its content was erased.
        """
        if self._is_spoiled:
            raise Refused("this edit has stored parts of an erased file", "make the other changes in a new edit")
        may_write = partial(self._context.ensure_writable, is_prepared=True)
        for left in reversed(range(_TRIES)):
            root, files = self._built()
            parents = (self._base.id,) if self._base else ()
            draft = replace(self._draft, expect=self._expect, parents=parents)
            try:
                bundle = self._writer.commit(root, files, draft, concurrently=may_write)
                break
            except Conflict:
                if self._is_committed or not left or not self._is_repeated():
                    raise
        self._is_committed = True
        self._writer.tidy()
        return Bundle(self._context, bundle)

    def _built(self) -> tuple[Pointer, int]:
        return self._writer.store.build(self._changes.pieces()), self._changes.files()

    def _is_repeated(self) -> bool:
        """Repeat the changes on top of what others have committed to the branch. False if that isn't why a commit failed.

        Raises Conflict if others changed the same paths.
        """
        c, branch = self._context, self._draft.branch
        head = c.log.head()
        now = head.state.branches.get(branch or "")
        if now is None or now.bundle == self._expect:
            return False
        if self._base is None or self._wanted is not None or self._draft.expect is not None:
            return False
        newer = c.refs.get(now.bundle, head)
        c.refs.ensure_not_quarantined(newer, f"branch '{branch}'")
        before, after = (Tree(c.nodes, pointer_of(each.root)) for each in (self._base, newer))
        overlap = first_overlap(self._changes, before, after)
        if overlap is not None:
            raise self._moved(f", and another commit changed '{overlap}', too")
        changes = self._changes_of(newer)
        try:
            for step in self._steps:
                step(changes)
        except (NotFound, InvalidInput) as error:
            raise self._moved(f", and a change is no longer possible: {error.message}") from error
        # A copied folder may have more files now than before, so what is changed is compared once more.
        overlap = first_overlap(changes, before, after)
        if overlap is not None:
            raise self._moved(f", and another commit changed '{overlap}', too")
        self._changes, self._base, self._expect = changes, newer, now.bundle
        return True

    def _moved(self, how: str = "") -> Conflict:
        now = self._context.log.head().state.branches.get(self._draft.branch or "")
        where = now.bundle if now else "nothing"
        return Conflict(
            f"branch '{self._draft.branch}' changed in the meantime: it points to {where}{how}",
            "check it and try again",
        )

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _do(self, step: Callable[[Changes], None]) -> None:
        step(self._changes)
        self._steps.append(step)

    def _put(self, entry: ManifestEntry, packs: list[tuple[bytes, int]] | None = None) -> None:
        self._do(lambda changes: changes.put(entry, packs))

    def _store(self, data: bytes | BinaryIO) -> StoredFile:
        ingest = self._writer.store.ingest
        if isinstance(data, bytes):
            return ingest.store_bytes(data)
        with self._spoiling():
            return ingest.store_stream(_blocks(data))

    @contextmanager
    def _spoiling(self) -> Iterator[None]:
        """Note if a stream turns out to be an erased file: its first chunks may be stored, and must not be committed."""
        try:
            yield
        except Refused:
            self._is_spoiled = True
            raise

    def _store_splice(self, old: StoredEntry, offset: int, length: int, data: Iterator[bytes]) -> StoredFile:
        store, entry = self._writer.store, old.entry
        if entry.content in store.ingest.erased.contents:
            # Some of its chunks may still be there, as parts of other files.
            raise Refused(f"'{entry.path}' was erased from this store", "write the file again, or remove it")
        if entry.content in self._written:
            # Its chunks may be in a pack that is not written yet.
            store.sink.flush()
        with self._spoiling():
            return splice_file(store.ingest, Contents(self._context.core), old, offset, length, data)

    def _now(self) -> int:
        return self._context.core.clock.now_ns()

    def _set(self, path: str, placed: StoredFile, mode: int, mtime: int, attrs: dict[str, str]) -> None:
        folder, name = split(check_path(path.strip("/")))
        place = place_of(placed)
        entry = ManifestEntry(
            folder, name, Kind.FILE, mode & 0o777, mtime, placed.size, placed.content, None, attrs, place
        )
        self._written.add(placed.content)
        self._put(entry, list(placed.packs.items()))

    def _splice(self, path: str, offset: int | None, length: int, data: bytes | BinaryIO) -> None:
        old = self._stored(check_path(path.strip("/")))
        entry = old.entry
        at = entry.size if offset is None else offset
        if at + length > entry.size:
            raise InvalidInput(f"'{entry.path}' has {entry.size} bytes, and the range ends after {at + length}")
        placed = self._store_splice(old, at, length, _blocks(io.BytesIO(data) if isinstance(data, bytes) else data))
        attrs = {name: text for name, text in entry.attrs.items() if name not in ("md5", "sha256")}
        self._set(entry.path, placed, entry.mode, self._now(), attrs)

    def _stored(self, path: str) -> StoredEntry:
        row = self._changes.row(path)
        if row is None:
            raise NotFound(f"'{path}' not found in this bundle")
        entry = entry_at(row, 0)
        if entry.kind != Kind.FILE:
            raise InvalidInput(f"'{path}' is not a file whose bytes can be changed: it is a {entry.kind.name.lower()}")
        packs = {use["pack"]: use["live"] for use in row["packs"][0].as_py() or ()}
        return StoredEntry(entry, packs)

    def _alive(self, source: Bundle) -> BundleTree:
        """The source's tree, if it is alive: looked up after this session was registered, so gc leaves it alone."""
        key = source.repo_id, source.id
        if key not in self._sources:
            found = alive(self._context.core, *key)
            self._sources[key] = BundleTree(Tree(self._context.nodes, pointer_of(found.root)), found.files)
        return self._sources[key]


class EditPlan(Edit):
    """Checks changes as an edit does, but writes nothing to the store, and can't be committed."""

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def put_file(self, path: str, source: str | Path) -> None:
        """Check a local file that would be written. Raises as :meth:`Edit.put_file`."""
        _ensure_regular_file(source)
        with translated(f"read {source}"), open(source, "rb", buffering=0) as file:
            self._set(path, StoredFile(ZERO_HASH, os.fstat(file.fileno()).st_size), 0o644, 0, {})

    def commit(self) -> Bundle:
        """Raise Refused: nothing was stored."""
        raise Refused("a plan can't be committed", "make the changes in an edit")

    def _head(self) -> Head[RepoState]:
        return self._context.log.head()

    def _ensure_usable(self, tree: Tree, path: str = "") -> None:
        return None

    def _store(self, data: bytes | BinaryIO) -> StoredFile:
        return StoredFile(ZERO_HASH, _size(_blocks(io.BytesIO(data) if isinstance(data, bytes) else data)))

    def _store_splice(self, old: StoredEntry, offset: int, length: int, data: Iterator[bytes]) -> StoredFile:
        return StoredFile(ZERO_HASH, old.entry.size - length + _size(data))


def _size(blocks: Iterator[bytes]) -> int:
    return sum(map(len, blocks))


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
