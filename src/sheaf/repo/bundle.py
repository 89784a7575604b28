"""A bundle: an immutable view of a folder at one moment."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
from blake3 import blake3

from sheaf.engine.clock import parse_time
from sheaf.engine.contents import Contents, Erased
from sheaf.engine.diff import Difference, diff_trees
from sheaf.engine.nodes import pointer_of
from sheaf.engine.refs import alive
from sheaf.engine.tree import Tree, entry_at
from sheaf.errors import Corrupt, NotFound
from sheaf.model import log as model
from sheaf.model.entries import Entry as Row
from sheaf.model.entries import Kind
from sheaf.repo.context import Context
from sheaf.repo.records import Change, Entry, Verified, entry_of
from sheaf.transfer.download import Downloaded, download
from sheaf.transfer.materialise import paths_of
from sheaf.transfer.origins import Origin, recall, remember
from sheaf.transfer.progress import Meter, Progress
from sheaf.transfer.statcache import StatCache
from sheaf.transfer.update import Updated, update
from sheaf.transfer.worktree import changes, guess_base, learn
from sheaf.vfs import FileTree

if TYPE_CHECKING:
    from sheaf.transfer.batches import Batches, Position

__all__ = ["Bundle"]

_CANDIDATES = 20  # bundles to compare with a folder of unknown origin


class Bundle:
    """A committed bundle. Everything about it is known; its entries and bytes are fetched when asked for."""

    def __init__(self, context: Context, descriptor: model.Bundle) -> None:
        self._context = context
        self._core = context.core
        self._cache = context.cache
        self._descriptor = descriptor
        self._repo = context.entry
        self.tree = Tree(context.nodes, pointer_of(descriptor.root))
        self._files = FileTree(self.tree, Contents(context.core))

    def __repr__(self) -> str:
        return f"Bundle({self._repo.name}@{self.id})"

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
    def author(self) -> model.Author:
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

    @property
    def view(self) -> FileTree:
        """The bundle as a file tree: what doors are adapters of."""
        return self._files

    # -- reading -------------------------------------------------------------------------------------------------------

    def ls(self, path: str = "", *, recursive: bool = False) -> Iterator[Entry]:
        """What is in a folder (of a file: itself), one level or all, in order. Raises NotFound."""
        return map(entry_of, self._files.list(path, recursive=recursive))

    def entry(self, path: str) -> Entry:
        """One entry. Raises NotFound."""
        return entry_of(self._files.stat(path))

    def open(self, path: str) -> BinaryIO:
        """A file as a seekable stream of verified bytes. Raises NotFound, InvalidInput."""
        return cast(BinaryIO, io.BufferedReader(self._files.open(path), 1 << 20))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file, all or a range. Raises NotFound, InvalidInput, Corrupt."""
        file = self._files.open(path)
        return self._files.contents.read(file.entry, offset, length)

    def verify(self, progress: Progress | None = None) -> Verified:
        """Read every byte, and check every file against its content hash. Raises Corrupt naming the path."""
        meter = Meter(progress, "verify")
        meter.add_total(files=self.files, bytes=self.size)
        files = size = 0
        erased: list[str] = []
        for batch in self.tree.batches():
            gone: list[int] = []
            single: set[int] = set()
            for row, data in self._files.contents.chunks(batch, gone.append):
                single.add(row)
                meter.add(files=1, bytes=len(data))
                size += len(data)
            files += len(single)
            erased += paths_of(batch.take(pa.array(gone, pa.int64())))
            seen = single.union(gone)
            others = [
                row for row, kind in enumerate(batch["kind"].to_pylist()) if kind != Kind.FOLDER and row not in seen
            ]
            for entry in map(partial(entry_at, batch), others):
                try:
                    size += self._verify_file(entry, meter)
                    files += 1
                except Erased:
                    erased.append(entry.path)
        meter.finish()
        return Verified(files, size, tuple(erased))

    def _verify_file(self, entry: Row, meter: Meter) -> int:
        if entry.kind == Kind.SYMLINK:
            if blake3((entry.target or "").encode()).digest() != entry.content:
                raise Corrupt(f"symlink '{entry.path}' leads elsewhere than its hash says", "run `sheaf store check`")
            meter.add_file()
            return 0
        whole, size = blake3(), 0
        for block in self._files.contents.blocks(entry):
            whole.update(block)
            size += len(block)
            meter.add_bytes(len(block))
        if whole.digest() != entry.content:
            raise Corrupt(
                f"'{entry.path}' is damaged: its bytes don't match its content hash", "run `sheaf store check`"
            )
        meter.add_file()
        return size

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
        from sheaf.engine.bulk import Bulk
        from sheaf.transfer.batches import Batches

        return Batches(
            self.tree,
            Bulk(self._core, self._files.contents),
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
        """What happened from this bundle to another one, in order of paths."""
        return map(_change, diff_trees(self.tree, other.tree))

    def diff_folder(self, folder: str | Path) -> list[Change]:
        """What is different in a local folder, seen from this bundle."""
        stats = self._stats(Path(folder))
        found = [_change(difference) for difference in changes(self.tree, Path(folder), stats)]
        if stats is not None:
            stats.save()
        return found

    def download(
        self,
        dest: str | Path,
        *,
        path: str = "",
        name_filter: str | None = None,
        files: Sequence[str] | None = None,
        force: bool = False,
        concurrency: int | None = None,
        progress: Progress | None = None,
    ) -> Downloaded:
        """Write the bundle (or what is below ``path``, or some files) into an empty folder; resumes if it was killed.

        Raises:
            Refused: the folder is not empty (without ``force``), or names become one there.
            Corrupt: bytes are not what they should be; nothing wrong is left behind.
        """
        workers = max(1, min(concurrency or self._core.workers, 4 * self._core.workers))
        meter = Meter(progress, "download")
        done = download(
            self.tree,
            self._files.contents,
            Path(dest),
            path=path,
            name_filter=name_filter,
            files=files,
            force=force,
            concurrency=workers,
            meter=meter,
        )
        if not path and name_filter is None and files is None:
            remember(self._cache, Path(dest), self._origin)
            self._learn(Path(dest))
        return done

    def update(self, folder: str | Path, *, force: bool = False, progress: Progress | None = None) -> Updated:
        """Make a downloaded folder equal to this bundle. Raises Refused if local edits would be lost (without ``force``)."""
        folder = Path(folder)
        stats = self._stats(folder)
        meter = Meter(progress, "update")
        base = self._base_of(folder, stats)
        done = update(self.tree, self._files.contents, folder, base, force=force, cache=stats, meter=meter)
        remember(self._cache, folder, self._origin)
        self._learn(folder)
        return done

    @property
    def _origin(self) -> Origin:
        return Origin(self._core.config.id, self.repo_id, self.id)

    def _stats(self, folder: Path) -> StatCache | None:
        return StatCache.open(self._cache, folder, self._core.clock.now_ns()) if self._cache else None

    def _learn(self, folder: Path) -> None:
        """Keep the hashes of what was just written, so that the next comparison need not read it."""
        stats = self._stats(folder)
        if stats is not None:
            learn(self.tree, folder, stats)
            stats.save()

    def _base_of(self, folder: Path, stats: StatCache | None) -> Tree | None:
        """The bundle that a folder came from: as it was noted, or else one of the newest that the folder holds whole."""
        origin = recall(self._cache, folder)
        if origin is not None and origin.store == self._core.config.id:
            try:
                return self._tree_of(alive(self._core, origin.repo, origin.bundle))
            except NotFound:
                pass  # deleted since
        newest = self._context.refs.bundles()[: -_CANDIDATES - 1 : -1]
        return guess_base(map(self._tree_of, newest), folder, stats)

    def _tree_of(self, descriptor: model.Bundle) -> Tree:
        return Tree(self.tree.nodes, pointer_of(descriptor.root))


def _change(difference: Difference) -> Change:
    old = entry_of(difference.old) if difference.old else None
    new = entry_of(difference.new) if difference.new else None
    old_path = old.path if difference.how == "renamed" and old else None
    return Change(difference.how, difference.path, old_path, old, new)
