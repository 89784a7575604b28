"""A bundle: an immutable view of a folder at one moment."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec.structs import replace

from sheaf import engine, transfer
from sheaf.engine.clock import parse_time
from sheaf.engine.context import Context
from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.node_store import pointer_of
from sheaf.engine.manifest.reader import Amount, ManifestReader, manifest_reader
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import InvalidInput
from sheaf.fork import Lazy
from sheaf.model import records
from sheaf.model.nodes import Pointer
from sheaf.repo.values import Change, Entry, change_of, entry_of
from sheaf.vfs import BundleFile, FileTree, list_folder, look_up

# These modules import pyarrow and numpy (0.1 s), and the fields of a bundle, a few rows and a diff work without them.
if TYPE_CHECKING:
    from sheaf.engine.chunks.chunk_reader import Contents
    from sheaf.transfer.batches import Batches, Position
    from sheaf.transfer.bundles.verify_bundle import Verified
    from sheaf.transfer.download.damaged import Damaged
    from sheaf.transfer.download.download import Downloaded
    from sheaf.transfer.download.update import Updated
    from sheaf.transfer.local.scan import Skipped
    from sheaf.transfer.progress import Progress

__all__ = ["Bundle"]


class Bundle:
    """A committed bundle. Its entries and bytes are fetched on demand."""

    def __init__(self, context: Context, descriptor: records.BundleRecord) -> None:
        self._context = context
        self._descriptor = descriptor
        self._repo = context.entry

    def __repr__(self) -> str:
        return f"Bundle({self._repo.name}@{self.id})"

    def _root_now(self) -> Pointer:
        self._descriptor = self._context.current(self.id)
        return pointer_of(self._descriptor.root)

    @property
    def descriptor(self) -> records.BundleRecord:
        """The fields of its commit record."""
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
        """The id, a KSUID: 27 letters and digits."""
        return self._descriptor.id

    @property
    def version(self) -> str:
        """The version: a hash of 64 hex digits, equal for equal folders."""
        return self._descriptor.version

    @property
    def message(self) -> str:
        """The commit message."""
        return self._descriptor.message

    @property
    def time(self) -> datetime:
        """The time of the commit, by the clock of the machine that made it."""
        return parse_time(self._descriptor.time)

    @property
    def author(self) -> records.Author:
        """The author of the commit."""
        return self._descriptor.author

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of its parents; the first is the previous head of its branch."""
        return self._descriptor.parents

    @property
    def meta(self) -> dict[str, str]:
        """The metadata (keys and values) given at its upload."""
        return dict(self._descriptor.meta)

    @property
    def quarantined(self) -> str:
        """The reason why it was quarantined; empty if it was not."""
        return self._context.log.last.aside.get(self.id, "")

    @property
    def files(self) -> int:
        """The number of files and symlinks."""
        return self._descriptor.files

    @property
    def entries(self) -> int:
        """The number of entries, including folders."""
        return self._descriptor.root.rows

    @property
    def size(self) -> int:
        """The total size of its files, in bytes."""
        return self._descriptor.root.size

    @Lazy
    def tree(self) -> Tree:
        """The reader of its manifest."""
        return Tree(self._context.nodes, pointer_of(self._descriptor.root), self._root_now)

    @property
    def redacted(self) -> bool:
        """True if an erasure removed names or rows from it; its version then still covers what was removed."""
        return bool(self._descriptor.redacted)

    @Lazy
    def view(self) -> FileTree:
        """The bundle as a file tree, which mounts, fsspec and other interfaces use."""
        return FileTree(self.tree, engine.Contents(self._context.core))

    # -- reading -------------------------------------------------------------------------------------------------------

    def ls(self, path: str = "", *, recursive: bool = False, mark_erased: bool = False) -> Iterator[Entry]:
        """List the entries of a folder in order of paths; for a file, the file itself. Raises NotFound.

        Args:
            path: the folder; "" is the root.
            recursive: also list all entries below.
            mark_erased: set :attr:`Entry.erased` of files whose bytes were erased from the store.
        """
        found = self._list(path, recursive=recursive)
        return self._marked(found) if mark_erased else found

    def _marked(self, found: Iterator[Entry]) -> Iterator[Entry]:
        """The entries with ``erased``. Contents that were erased may have come back, so those are looked at one by one."""
        contents = {content.hex() for content in engine.erased_contents(self._context.core)}
        for entry in found:
            may_be = entry.content in contents and entry.kind == "file"
            yield replace(entry, erased=may_be and self.view.contents.is_erased(self.view.stat(entry.path)))

    def _list(self, path: str, *, recursive: bool) -> Iterator[Entry]:
        reader = self._reader("bulk" if recursive else "few rows")
        return map(entry_of, list_folder(reader, path, recursive=recursive))

    def entry(self, path: str) -> Entry:
        """Return the entry of a path. Raises NotFound."""
        return entry_of(look_up(self._reader("few rows").find, path))

    def _reader(self, amount: Amount) -> ManifestReader:
        return manifest_reader(self.tree, amount)

    def open(self, path: str) -> BinaryIO:
        """Open a file as a seekable stream of verified bytes. Raises NotFound, InvalidInput."""
        return cast(BinaryIO, io.BufferedReader(self._open(path), 1 << 20))

    def _open(self, path: str) -> BundleFile:
        return self.view.open_entry(look_up(self._reader("few rows").find, path))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a file, or a range of it. Raises NotFound, InvalidInput, Corrupt."""
        file = self._open(path)
        return self.view.contents.read(file.entry, offset, length)

    def verify(
        self,
        progress: Progress | None = None,
        *,
        on_damaged: Callable[[Damaged], object] | None = None,
        files: Collection[str] | None = None,
    ) -> Verified:
        """Read every byte and compare every file with its content hash.

        Args:
            on_damaged: called with each unreadable or damaged file.
            files: only these paths.

        Raises:
            Corrupt: the manifest is damaged; or, without ``on_damaged`` and after everything was read, files are: the
                message names the first ones.
        """
        return transfer.verify(self.tree, self._contents, self.files, self.size, progress, on_damaged, files)

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
        """Iterate over the files that match a pattern in batches for training; packs are read whole and ahead.

        Args:
            glob: ``*`` matches within one folder, ``**`` across folders: ``train/**/*.jpg``.
            batch: the number of files in a batch; the last one may have fewer.
            shuffle: a seed. Equal seeds give equal orders; each epoch has its own order. None: order of paths.
            shard: (rank, world): the part for this process. Parts are disjoint and differ by at most one file.
            workers: the number of threads that read.
            buffer: the size of the shuffle buffer in memory, in bytes.
            drop_last: drop the last batch if it has fewer files.
            resume: the :attr:`Batches.position` of an earlier iteration with the same arguments.

        Raises:
            InvalidInput: no file matches, or ``resume`` belongs to other arguments.
        """

        return transfer.Batches(
            self.tree,
            engine.Bulk(self._contents),
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
        """Compare with another bundle: the changes from this one to it, in order of paths. Raises InvalidInput."""
        if not isinstance(other, Bundle):
            raise InvalidInput(f"can't compare a bundle with {other!r}", "pass a bundle: repo.bundle(REF)")
        return map(change_of, diff_trees(self.tree, other.tree))

    def diff_folder(self, folder: str | Path, *, on_skipped: Callable[[Skipped], object] | None = None) -> list[Change]:
        """Compare with a local folder: the changes from this bundle to it; a moved file is one rename.

        Args:
            on_skipped: called with each path that can't be compared, because it is unreadable or not storable.

        Raises:
            NotFound, InvalidInput, Denied, Conflict: for the folder or, without ``on_skipped``, for an entry in it.
        """
        return [
            change_of(difference) for difference in transfer.compare(self._context, self.tree, Path(folder), on_skipped)
        ]

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
        """Write the bundle, or a part of it, into an empty folder. Resumes an interrupted download.

        A folder that already has exactly these files is not changed; all files then count as ``resumed``.

        Args:
            path: only entries below this folder.
            name_filter: only paths that match this regular expression.
            files: only these paths.
            force: also write into a folder that is not empty, and overwrite files.
            skip_on_error: skip files whose bytes are missing or damaged; the result names them.
            concurrency: the number of concurrent transfers.

        Raises:
            Refused: the folder is not empty (without ``force``), or names collide on its file system.
            Corrupt: a file is damaged in the store (without ``skip_on_error``); no wrong bytes are left in the folder.
        """
        from sheaf.transfer.download.download import download

        transfer.ensure_outside_store(self._context.core, Path(dest))
        most = self._context.core.workers
        meter = transfer.Meter(progress, "download")
        if not path and name_filter is None and files is None:
            meter.add_total(files=self.files, size=self.size)
        cache = transfer.hashes_of(self._context, Path(dest))
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
            cache=cache,
            meter=meter,
        )
        if not path and name_filter is None and files is None:
            transfer.note(self._context, self.tree, self.id, Path(dest), cache)
        return done

    def download_file(
        self, path: str, dest: str | Path, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        """Write one file or symlink to a local path. It appears whole or not at all.

        Args:
            dest: the path of the new file, in an existing folder.
            force: replace an existing file.

        Raises:
            NotFound: the bundle does not have the path, or the local folder does not exist.
            InvalidInput: the path is a folder in the bundle.
            Refused: the local path exists (without ``force``), or is a folder.
            Corrupt: the file is damaged in the store; no wrong bytes are left.
        """

        transfer.write_file(self.view, path, Path(dest), transfer.Meter(progress, "cp"), force=force)

    def update(
        self,
        folder: str | Path,
        *,
        force: bool = False,
        switch_repo: bool = False,
        skip_on_error: bool = False,
        progress: Progress | None = None,
    ) -> Updated:
        """Make a folder equal to this bundle; create it if it does not exist.

        Args:
            force: overwrite and delete local changes.
            switch_repo: replace a folder that came from another repo.
            skip_on_error: keep the old file if its new bytes are missing or damaged; the result names such files.

        Raises:
            Refused: local changes would be lost (without ``force``), the folder came from another repo (without
                ``switch_repo``), or it is inside the store.
            Corrupt: a file is damaged in the store (without ``skip_on_error``); nothing was changed.
        """

        top = Path(folder)
        choice = {"force": force, "switch_repo": switch_repo, "skip_on_error": skip_on_error}
        transfer.ensure_outside_store(self._context.core, top)
        done = transfer.bring(self._context, self.view, top, **choice, progress=progress)
        if not any(os.path.lexists(top / each.path) for each in done.damaged):  # else old files would count as edits
            transfer.note(self._context, self.tree, self.id, top)
        return done
