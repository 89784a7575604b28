"""Batches of whole files for training, read pack by pack and ahead of their use."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from fsspec.utils import glob_translate

from sheaf.engine.manifest.bulk_read import Bulk
from sheaf.engine.manifest.tree import Tree
from sheaf.errors import InvalidInput
from sheaf.fork import Threads
from sheaf.model.entries import Kind
from sheaf.model.paths import join, split
from sheaf.transfer.order import Order, Units, cut_units

__all__ = ["BUFFER", "Batches", "Position", "Sample"]

BUFFER = 128 << 20  #: bytes of the buffer within which shuffled files are mixed
_UNIT = 40 << 20  # bytes of files that are read together: a whole pack of incompressible data
_MAGIC = re.compile(r"[*?\[{]")


class Sample(NamedTuple):
    """A file: its path in the bundle and its bytes."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """A position: ``sample`` files of an epoch were returned. ``of`` identifies the files and their order."""

    of: str
    epoch: int
    sample: int


class Batches:
    """Batches of files. Iterate once per epoch; each iteration continues where the last one stopped. Not thread-safe.

    ``len()`` is the number of batches of a whole epoch. Save :attr:`position` and pass it as ``resume=`` with the same
    arguments to continue after the files that were already returned.
    """

    def __init__(
        self,
        tree: Tree,
        bulk: Bulk,
        glob: str = "**",
        batch: int = 256,
        *,
        shuffle: int | None = None,
        shard: tuple[int, int] = (0, 1),
        workers: int = 4,
        buffer: int = BUFFER,
        drop_last: bool = False,
        resume: Position | Mapping[str, str | int] | None = None,
    ) -> None:
        rank, world = shard
        if not (batch > 0 and workers > 0 and buffer >= 0 and 0 <= rank < world):
            raise InvalidInput("batch and workers must be positive, and the shard's rank less than its world")
        self._bulk = bulk
        self._batch, self._drop_last = batch, drop_last
        self._seed, self._shard, self._buffer, self._workers = shuffle, shard, buffer, workers
        said = repr((tree.root.id.hex(), glob, shuffle, shard, buffer if shuffle is not None else 0))
        self._of = blake3(said.encode()).hexdigest()[:32]
        self._files = _files(tree, glob)
        self._size = self._files["size"].to_numpy()
        self._units = self._cut()
        self._epoch, self._at = 0, 0
        if resume is not None:
            self.position = resume if isinstance(resume, Position) else _position(resume)

    def __len__(self) -> int:
        rank, world = self._shard
        mine = len(self._size) * (rank + 1) // world - len(self._size) * rank // world
        return mine // self._batch if self._drop_last else -(-mine // self._batch)

    @property
    def position(self) -> Position:
        """The current position. Setting it raises InvalidInput if it belongs to other files or another order."""
        return Position(self._of, self._epoch, self._at)

    @position.setter
    def position(self, position: Position) -> None:
        if position.of != self._of:
            raise InvalidInput(
                "the position belongs to another bundle, glob, seed, shard or buffer",
                "pass the same arguments as before",
            )
        self._epoch, self._at = position.epoch, position.sample

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch. Each epoch has its own order if shuffled."""
        self._epoch, self._at = epoch, 0

    def __iter__(self) -> Iterator[list[Sample]]:
        order = Order.of(
            self._units, self._size, seed=self._seed, epoch=self._epoch, shard=self._shard, buffer=self._buffer
        )
        batch: list[Sample] = []
        for sample in self._samples(order, self._at):
            batch.append(sample)
            if len(batch) == self._batch:
                self._at += len(batch)
                yield batch
                batch = []
        if batch and not self._drop_last:
            self._at += len(batch)
            yield batch
        self.start_epoch(self._epoch + 1)

    def _samples(self, order: Order, start: int) -> Iterator[Sample]:
        """Yield the samples from ``start`` on. Units are read in threads, some before they are needed."""
        ready: dict[int, Sample] = {}
        loads = order.loads(start)
        pending: deque[tuple[np.ndarray[Any, Any], Future[list[Sample]]]] = deque()
        pool = Threads(self._workers, thread_name_prefix="sheaf-batches")
        try:
            for at in range(start, len(order.rows)):
                while at not in ready:
                    while len(pending) < self._workers and (load := next(loads, None)) is not None:
                        pending.append((load, pool.submit(self._load, order.rows[load])))
                    wanted, future = pending.popleft()
                    ready.update(zip(wanted.tolist(), future.result(), strict=True))
                yield ready.pop(at)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, rows: np.ndarray[Any, Any]) -> list[Sample]:
        batch = self._files.take(pa.array(rows))
        folders = batch["folder"].cast(pa.string()).to_numpy(zero_copy_only=False)
        paths = map(join, folders, batch["name"].to_numpy(zero_copy_only=False))
        return list(map(Sample, paths, self._bulk.read(batch)))

    def _cut(self) -> Units:
        """Cut the files into units: when shuffled, in the order in which they are stored; else in the order of their paths."""
        rows = np.arange(len(self._size))
        if self._seed is None:
            return cut_units(rows, np.zeros(len(rows), np.int64), self._size, _UNIT)
        pack = self._files["pack"].indices.fill_null(-1).to_numpy().astype(np.int64)
        stored = np.lexsort((self._files["offset"].fill_null(0).to_numpy(), pack))
        return cut_units(stored, pack, self._size, _UNIT)


def _position(values: Mapping[str, str | int]) -> Position:
    try:
        return msgspec.convert(dict(values), Position)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"invalid position {dict(values)}: {error}") from None


def _files(tree: Tree, glob: str) -> pa.RecordBatch:
    """Return the files that a pattern matches, with the columns needed to read them; about 150 bytes of memory each."""
    base, pattern = _parsed(glob)
    found = [_encoded(chosen) for batch in tree.batches(base) if (chosen := _chosen(batch, pattern)).num_rows]
    if not found:
        raise InvalidInput(
            f"no file of the bundle matches '{glob}'", "'**' matches across folders, '*' within one: '**/*.jpg'"
        )
    return pa.Table.from_batches(found).unify_dictionaries().combine_chunks().to_batches()[0]


def _parsed(glob: str) -> tuple[str, re.Pattern[str] | None]:
    """Return the folder that contains all matches of a pattern, and the expression for whole paths (None: all of them)."""
    glob = glob.strip("/")
    folders = split(glob)[0].split("/")
    magic = next((i for i, name in enumerate(folders) if _MAGIC.search(name)), len(folders))
    base = "/".join(folders[:magic])
    return base, None if glob == join(base, "**") else re.compile(glob_translate(glob))


def _chosen(batch: pa.RecordBatch, pattern: re.Pattern[str] | None) -> pa.RecordBatch:
    files = batch.filter(pc.is_in(batch["kind"], pa.array([int(Kind.FILE), int(Kind.EXTERNAL)], pa.uint8())))
    if pattern is None:
        return files
    folders, names = files["folder"].to_pylist(), files["name"].to_pylist()
    hits = [pattern.match(join(folder, name)) is not None for folder, name in zip(folders, names, strict=True)]
    return files.filter(pa.array(hits, pa.bool_()))


def _encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows that need less memory: repeated values are kept once, and columns that reading doesn't need are empty."""
    kept = batch
    for name in ("folder", "pack"):
        kept = kept.set_column(kept.schema.get_field_index(name), name, kept[name].dictionary_encode())
    for name in ("target", "attrs", "packs"):
        field = kept.schema.field(name)
        kept = kept.set_column(kept.schema.get_field_index(name), field, pa.nulls(kept.num_rows, field.type))
    return kept
