"""Verify a bundle: read all bytes and compare them with their hashes."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pyarrow as pa
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import DAMAGE, Contents, Erased
from sheaf.engine.manifest.tree import Tree, entry_at
from sheaf.errors import Corrupt, SheafError
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.transfer.download.damaged import Damaged, damage_error
from sheaf.transfer.download.write_files import paths_of
from sheaf.transfer.progress import Meter, Progress

__all__ = ["Verified", "verify"]

_KEPT: Final = 10  # damaged files that are kept for the error


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a verification: the number and size of the sound files.

    ``erased``: the paths of erased files; ``damaged``: the number of unreadable files. ``files`` counts neither.
    """

    files: int
    bytes: int
    erased: tuple[str, ...] = ()
    damaged: int = 0


def verify(
    tree: Tree,
    contents: Contents,
    files: int,
    size: int,
    progress: Progress | None,
    on_damaged: Callable[[Damaged], object] | None,
    only: Container[str] | None = None,
) -> Verified:
    """Compare every file with its content hash; ``files`` and ``size`` are the expected totals. ``only``: just these paths.

    Raises Corrupt immediately for a damaged manifest, and at the end for damaged files, without ``on_damaged``.
    """
    meter = Meter(progress, "verify")
    if only is None:
        meter.add_total(files=files, size=size)
    verifying = _Verifying(contents, meter, on_damaged)
    for batch in tree.batches():
        wanted = None if only is None else pa.array([path in only for path in paths_of(batch)], pa.bool_())
        verifying.add(batch if wanted is None else batch.filter(wanted))
    meter.finish()
    if verifying.kept:
        raise damage_error(verifying.kept, "run `sheaf bundle verify` to list all damaged files", verifying.damaged)
    return Verified(verifying.files, verifying.bytes, tuple(verifying.erased), verifying.damaged)


@dataclass(slots=True)
class _Verifying:
    contents: Contents
    meter: Meter
    on_damaged: Callable[[Damaged], object] | None
    files: int = 0
    bytes: int = 0
    damaged: int = 0
    erased: list[str] = field(default_factory=list)
    kept: list[Damaged] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """All files of some rows: first those that are fetched together."""
        gone: list[int] = []
        seen: set[int] = set()

        def lost(row: int, error: SheafError) -> None:
            seen.add(row)
            self._note(entry_at(batch, row).path, error)

        for row, data in self.contents.files(batch, gone.append, lost):
            seen.add(row)
            self._count(len(data))
            self.meter.add(files=1, size=len(data))
        seen.update(gone)
        self.erased += paths_of(batch.take(pa.array(gone, pa.int64())))
        others = [row for row, kind in enumerate(batch["kind"].to_pylist()) if kind != Kind.FOLDER and row not in seen]
        for entry in map(partial(entry_at, batch), others):
            self._add_one(entry)

    def _add_one(self, entry: ManifestEntry) -> None:
        try:
            self._count(_verify_file(self.contents, entry, self.meter))
        except Erased:
            self.erased.append(entry.path)
        except DAMAGE as error:
            if entry.kind == Kind.EXTERNAL:
                raise  # not damaged, but elsewhere
            self._note(entry.path, error)

    def _count(self, size: int) -> None:
        self.files += 1
        self.bytes += size

    def _note(self, path: str, error: SheafError) -> None:
        damaged = Damaged(path, error.message)
        self.damaged += 1
        if self.on_damaged is not None:
            self.on_damaged(damaged)
        elif len(self.kept) < _KEPT:
            self.kept.append(damaged)


def _verify_file(contents: Contents, entry: ManifestEntry, meter: Meter) -> int:
    if entry.kind == Kind.SYMLINK:
        if blake3((entry.target or "").encode()).digest() != entry.content:
            raise Corrupt(
                f"the target of symlink '{entry.path}' doesn't match its content hash", "run `sheaf store check`"
            )
        meter.add_file()
        return 0
    whole, size = blake3(), 0
    for block in contents.blocks(entry):
        whole.update(block)
        size += len(block)
        meter.add_bytes(len(block))
    if whole.digest() != entry.content:
        raise Corrupt(f"'{entry.path}' is damaged: its bytes don't match its content hash", "run `sheaf store check`")
    meter.add_file()
    return size
