"""A bundle: an immutable view of a folder at one moment."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from sheaf.engine.clock import parse_time
from sheaf.engine.log.record_log import repo_log
from sheaf.engine.log.resolve import Refs
from sheaf.engine.manifest.light_reader import Glance, NotPlain
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_diff import diff_trees
from sheaf.errors import Corrupt, InvalidInput
from sheaf.fork import Lazy
from sheaf.model import records
from sheaf.model.entries import Entry as Row
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.repo.context import Context
from sheaf.repo.values import Change, Entry, Verified, change_of, entry_of
from sheaf.vfs import FileTree, look_up

# What follows takes pyarrow and numpy (0.1 s to import); what is known of a bundle, a look and a diff do without, so it
# is imported where it is used.
if TYPE_CHECKING:
    from sheaf.engine.chunks.chunk_reader import Contents
    from sheaf.transfer.batches import Batches, Position
    from sheaf.transfer.download.damaged import Damaged
    from sheaf.transfer.download.download import Downloaded
    from sheaf.transfer.download.update import Updated
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress

__all__ = ["Bundle"]


class Bundle:
    """A committed bundle. Everything about it is known; its entries and bytes are fetched when asked for."""

    def __init__(self, context: Context, descriptor: records.Bundle) -> None:
        self._context = context
        self._descriptor = descriptor
        self._repo = context.entry

    def __repr__(self) -> str:
        return f"Bundle({self._repo.name}@{self.id})"

    def _root_now(self) -> Pointer:
        """By a log of its own, since any thread may ask."""
        refs = Refs(repo_log(self._context.core, self.repo_id), self.repo_name)
        self._descriptor = refs.get(self.id)
        return pointer_of(self._descriptor.root)

    @property
    def descriptor(self) -> records.Bundle:
        """What its record says of it."""
        return self._descriptor

    @property
    def repo_name(self) -> str:
        """The name of its repo."""
        return self._repo.name

    @property
    def repo_id(self) -> str:
        """The id of its repo."""
        return self._repo.id

    @property
    def id(self) -> str:
        """A KSUID."""
        return self._descriptor.id

    @property
    def version(self) -> str:
        """The version hash, 64 hex digits: equal for equal trees, whoever wrote them."""
        return self._descriptor.version

    @property
    def message(self) -> str:
        """What its maker said of it."""
        return self._descriptor.message

    @property
    def time(self) -> datetime:
        """When it was committed, by its maker's clock."""
        return parse_time(self._descriptor.time)

    @property
    def author(self) -> records.Author:
        """Who made it."""
        return self._descriptor.author

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the bundles that it follows; the first is where its branch was."""
        return self._descriptor.parents

    @property
    def meta(self) -> dict[str, str]:
        """Free keys and values given at its upload."""
        return dict(self._descriptor.meta)

    @property
    def set_aside(self) -> str:
        """Why it was set aside: it is known that it can't be read. Empty for others."""
        return self._context.log.last.aside.get(self.id, "")

    @property
    def files(self) -> int:
        """How many files and symlinks it has."""
        return self._descriptor.files

    @property
    def entries(self) -> int:
        """How many entries it has, folders included."""
        return self._descriptor.root.rows

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return self._descriptor.root.size

    @Lazy
    def tree(self) -> Tree:
        """Its manifest."""
        return Tree(self._context.nodes, pointer_of(self._descriptor.root), self._root_now)

    @property
    def redacted(self) -> bool:
        """Whether an erasure has taken names or rows out of it: then its version covers more than what is there."""
        return bool(self._descriptor.redacted)

    @Lazy
    def view(self) -> FileTree:
        """The bundle as a file tree: what doors are adapters of."""
        from sheaf.engine.chunks.chunk_reader import Contents

        return FileTree(self.tree, Contents(self._context.core))

    # -- reading -------------------------------------------------------------------------------------------------------

    def ls(self, path: str = "", *, recursive: bool = False, mark_erased: bool = False) -> Iterator[Entry]:
        """What is in a folder (of a file: itself), one level or all, in order. Raises NotFound.

        ``mark_erased``: also look up which files' bytes were removed from the store for good.
        """
        found = self._list(path, recursive=recursive)
        return self._marked(found) if mark_erased else found

    def _marked(self, found: Iterator[Entry]) -> Iterator[Entry]:
        """The entries with ``erased``. Contents that were erased may have come back, so those are looked at one by one."""
        from sheaf.engine.sessions.erasure_notices import erased_contents

        contents = {content.hex() for content in erased_contents(self._context.core)}
        for entry in found:
            may_be = entry.content in contents and entry.kind == "file"
            yield replace(entry, erased=may_be and self.view.contents.is_erased(self.view.stat(entry.path)))

    def _list(self, path: str, *, recursive: bool) -> Iterator[Entry]:
        if not recursive and "pyarrow" not in sys.modules:  # loading it would take longer than the look
            with suppress(NotPlain, Corrupt):  # what is damaged, or redacted meanwhile, is told by who reads all of it
                entry = self._look(path)
                below = list(self._glance.below(entry.path)) if entry.kind == Kind.FOLDER else [entry]
                return map(entry_of, below)
        return map(entry_of, self.view.list(path, recursive=recursive))

    def entry(self, path: str) -> Entry:
        """One entry. Raises NotFound."""
        if "pyarrow" not in sys.modules:
            with suppress(NotPlain, Corrupt):  # what is damaged, or redacted meanwhile, is told by who reads all of it
                return entry_of(self._look(path))
        return entry_of(self.view.stat(path))

    @Lazy
    def _glance(self) -> Glance:
        return Glance(self.tree.nodes, self.tree.root)

    def _look(self, path: str) -> Row:
        return look_up(self._glance.find, path)

    def open(self, path: str) -> BinaryIO:
        """A file as a seekable stream of verified bytes. Raises NotFound, InvalidInput."""
        return cast(BinaryIO, io.BufferedReader(self.view.open(path), 1 << 20))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, all or a range. Raises NotFound, InvalidInput, Corrupt."""
        file = self.view.open(path)
        return self.view.contents.read(file.entry, offset, length)

    def verify(
        self, progress: Progress | None = None, *, on_damaged: Callable[[Damaged], object] | None = None
    ) -> Verified:
        """Read every byte, and check every file against its content hash.

        ``on_damaged``: takes each file that can't be read, or is not what it should be, as it is found.

        Raises:
            Corrupt: a part of the manifest is damaged; or (without ``on_damaged``, after all was read) files are, naming
                the first of their paths.
        """
        from sheaf.repo.operations.verify_bundle import verify

        return verify(self.tree, self._contents, self.files, self.size, progress, on_damaged)

    @property
    def _contents(self) -> Contents:
        return self.view.contents

    def batches(
        self,
        glob: str = "**",
        batch: int = 256,
        *,
        shuffle: int | None = None,
        shard: tuple[int, int] = (0, 1),
        workers: int = 4,
        buffer: int = 128 << 20,
        drop_last: bool = False,
        resume: Position | Mapping[str, str | int] | None = None,
    ) -> Batches:
        """All files that a pattern names, some at a time, as a training run reads them: whole packs, read ahead.

        Args:
            glob: ``*`` within one folder, ``**`` through all: ``train/**/*.jpg``.
            batch: files in a batch; the last one may have fewer, unless ``drop_last``.
            shuffle: a seed; the same one gives the same order, another in each epoch. None: in order of paths.
            shard: (rank, world): this process's part. Parts are disjoint and differ by one file at most.
            workers: threads that read.
            buffer: bytes within which shuffled files are mixed, and which that takes in memory.
            resume: the :attr:`Batches.position` of an earlier one that was made with the same arguments.

        Raises:
            InvalidInput: nothing matches, or ``resume`` is of something else.
        """
        from sheaf.engine.manifest.bulk_read import Bulk
        from sheaf.transfer.batches import Batches

        return Batches(
            self.tree,
            Bulk(self._context.core, self._contents),
            glob,
            batch,
            shuffle=shuffle,
            shard=shard,
            workers=workers,
            buffer=buffer,
            drop_last=drop_last,
            resume=resume,
        )

    # -- comparing and writing out -------------------------------------------------------------------------------------

    def diff(self, other: Bundle) -> Iterator[Change]:
        """What happened from this bundle to another one, in order of paths. Raises InvalidInput for what is no bundle."""
        if not isinstance(other, Bundle):
            raise InvalidInput(
                f"a bundle is compared with a bundle, not with {other!r}", "get it with repo.bundle(REF)"
            )
        return map(change_of, diff_trees(self.tree, other.tree))

    def diff_folder(self, folder: str | Path, *, on_skipped: Callable[[Skipped], object] | None = None) -> list[Change]:
        """What is different in a local folder, seen from this bundle; a moved file is one rename.

        ``on_skipped``: takes each path that can't be in a bundle or can't be read, and so is not compared.

        Raises:
            NotFound, InvalidInput, Denied, Conflict: about the folder, or (without ``on_skipped``) something in it.
        """
        from sheaf.repo.local_folders import compare

        return [change_of(difference) for difference in compare(self._context, self.tree, Path(folder), on_skipped)]

    def download(
        self,
        dest: str | Path,
        *,
        path: str = "",
        name_filter: str | None = None,
        files: Sequence[str] | None = None,
        force: bool = False,
        skip_on_error: bool = False,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> Downloaded:
        """Write the bundle (or what is below ``path``, or some files) into an empty folder; resumes if it was killed.

        A folder that has just these files already is left as it is: then all of them count as ``resumed``.

        ``skip_on_error``: leave out files whose bytes are lost or damaged; the answer names them.

        Raises:
            Refused: the folder is not empty (without ``force``), or names become one there.
            Corrupt: bytes are not what they should be (without ``skip_on_error``); nothing wrong is left behind.
        """
        from sheaf.repo.local_folders import hashes_of, note
        from sheaf.transfer.download.download import download
        from sheaf.transfer.progress import Meter
        from sheaf.transfer.store_guard import refuse_inside

        refuse_inside(self._context.core, Path(dest))
        most = self._context.core.workers
        meter = Meter(progress, "download")
        if not path and name_filter is None and files is None:
            meter.add_total(files=self.files, bytes=self.size)
        done = download(
            self.tree,
            self._contents,
            Path(dest),
            path=path,
            name_filter=name_filter,
            files=files,
            force=force,
            skip_on_error=skip_on_error,
            concurrency=max(1, min(concurrency or most, 4 * most)),
            cache=hashes_of(self._context, Path(dest)),
            meter=meter,
        )
        if not path and name_filter is None and files is None:
            note(self._context, self.tree, self.id, Path(dest))
        return done

    def update(
        self,
        folder: str | Path,
        *,
        force: bool = False,
        switch_repo: bool = False,
        skip_on_error: bool = False,
        progress: Progress | None = None,
    ) -> Updated:
        """Make a folder equal to this bundle, whatever it is now; it is made if it isn't there.

        Args:
            force: also overwrite and delete what was changed locally.
            switch_repo: also replace what came from another repo.
            skip_on_error: leave files as they are whose new bytes are lost or damaged; the answer names them.

        Raises:
            Refused: local edits would be lost (without ``force``), the folder came from another repo (without
                ``switch_repo``), or it is in the store itself.
            Corrupt: bytes are not what they should be (without ``skip_on_error``); nothing was changed.
        """
        from sheaf.repo.local_folders import bring, note
        from sheaf.transfer.store_guard import refuse_inside

        top = Path(folder)
        choice = {"force": force, "switch_repo": switch_repo, "skip_on_error": skip_on_error}
        refuse_inside(self._context.core, top)
        done = bring(self._context, self.view, top, **choice, progress=progress)
        if not any(os.path.lexists(top / each.path) for each in done.damaged):  # else old files would count as edits
            note(self._context, self.tree, self.id, top)
        return done
