"""Write groups of files whose bytes are fetched together, and symlinks.

A group is written by a worker process if there are any, else by this thread. What a worker can't write is written by this
thread, too, which reports what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sheaf.engine.chunks.bulk.gather import Gathered
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.errors import Corrupt, SheafError
from sheaf.local_errors import local_error, translated
from sheaf.model.entries import Kind
from sheaf.model.paths import join
from sheaf.storage.port import Buffer
from sheaf.transfer.download.damaged import Damaged
from sheaf.transfer.download.files.filled import Filled
from sheaf.transfer.download.files.large_file import states_of
from sheaf.transfer.download.files.new_file import write_file
from sheaf.transfer.download.files.old_file import complete, remove
from sheaf.transfer.download.files.write_limiter import Turns
from sheaf.transfer.download.files.writer_pool import Writers, request_of
from sheaf.transfer.download.files.writer_process import Written
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.local.statcache import FileStates
from sheaf.transfer.progress import Meter, log_file, logs_files
from sheaf.transfer.worker_process import LostWorker

__all__ = ["FileGroups"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FileGroups:
    """Writes groups of rows below ``root``, a descriptor. ``resumed``: files of an earlier attempt may exist.

    ``masked``: the permission bits that a new file doesn't get. ``ensure_needed``: raises an error if the result is not
    needed any more.
    """

    contents: Contents
    root: int
    resumed: bool
    meter: Meter
    masked: int
    writers: Writers
    ensure_needed: Callable[[], None]
    logs_files: bool = field(default_factory=logs_files)
    turns: Turns = field(default_factory=Turns)

    def write(self, batch: pa.RecordBatch) -> Filled:
        """Write the files and symlinks among some rows, whose folders exist."""
        with Anchor(self.root) as anchor:
            return _Group(self, anchor, batch, _Columns.of(batch)).write()


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of rows that a task needs, as lists."""

    folder: list[str]
    name: list[str]
    mode: list[int]
    mtime: list[int]
    size: list[int]
    content: list[bytes]
    target: list[str | None]

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Columns:
        return cls(*(batch[name].to_numpy(zero_copy_only=False).tolist() for name in cls.__slots__))

    def path(self, row: int) -> str:
        """Return the path of a row."""
        return join(self.folder[row], self.name[row])


@dataclass(slots=True)
class _Group:
    of: FileGroups
    anchor: Anchor
    batch: pa.RecordBatch
    rows: _Columns
    filled: Filled = field(default_factory=Filled)

    def write(self) -> Filled:
        """Write all files and symlinks."""
        kind = self.batch["kind"].to_numpy()
        for row in np.flatnonzero(kind == Kind.SYMLINK).tolist():
            self._link(row)
        wanted: list[int] = np.flatnonzero(kind == Kind.FILE).tolist()
        if self.of.resumed:
            wanted = self._incomplete(wanted)
            self.filled.resumed = self.filled.files
        self._write_files(wanted)
        return self.filled

    def _incomplete(self, files: list[int]) -> list[int]:
        """Count the files that are complete already; remove what there is of the others, and return them."""
        rows, states, there, missing = self.rows, list[os.stat_result](), list[int](), list[int]()
        for row in files:
            with translated(f"read {rows.path(row)}"):
                folder = self.anchor.folder(rows.folder[row])
                state = complete(
                    rows.name[row], folder, rows.size[row], rows.content[row], rows.mode[row], rows.mtime[row]
                )
            if state is None:
                missing.append(row)
            else:
                states.append(state)
                there.append(row)
        self._note(there, states_of(states, [rows.content[row] for row in there]))
        self.of.meter.add(files=len(there), size=sum(rows.size[row] for row in there))
        return missing

    def _note(self, rows: list[int], states: FileStates) -> None:
        """Count files that exist now."""
        self.filled.files += len(rows)
        self.filled.bytes += int(states.size.sum())
        self.filled.states.append(states)

    def _write_files(self, wanted: list[int]) -> None:
        """Fetch files, and write them in a worker process; this thread writes those that no worker can write."""
        if not wanted:
            return
        chosen = self.batch if len(wanted) == self.batch.num_rows else self.batch.take(pa.array(wanted))
        # Those of no bytes are written with the first ones.
        empty = [i for i, row in enumerate(wanted) if not self.rows.size[row]]
        for gathered in self.of.contents.gather(chosen).results():
            left = self._hand_over(gathered, sorted([*gathered.frames, *gathered.lost, *empty]), wanted)
            empty = []
            self.of.ensure_needed()
            if left:
                self._write_here(self._found(chosen, gathered, wanted, left))

    # -- in a worker process -------------------------------------------------------------------------------------------

    def _hand_over(self, gathered: Gathered, numbers: list[int], wanted: list[int]) -> list[int]:
        """Let a worker write some files, by their numbers in ``wanted``; return those that it doesn't write."""
        lost = set(gathered.lost)
        able = [i for i in numbers if i not in lost]
        if not able or not self.of.writers.has_room(gathered):
            return numbers
        try:
            with self.of.writers.one(wait=not self.of.turns.are_over) as writer:
                if writer is None:
                    return numbers
                columns = self.rows.folder, self.rows.name, self.rows.mode, self.rows.mtime
                said = writer.write(request_of(gathered, able, wanted, columns), gathered.ranges)
        except LostWorker:
            self.of.ensure_needed()
            missing = set(self._incomplete([wanted[i] for i in able]))
            return [i for i in numbers if wanted[i] in missing or i in lost]
        failed = {able[k] for k in said.failed}
        self._note_written(said, [wanted[i] for i in able if i not in failed])
        return sorted(lost | failed)

    def _note_written(self, said: Written, rows: list[int]) -> None:
        self.of.turns.note(said.wall, said.cpu)
        sizes, times = ([column[row] for row in rows] for column in (self.rows.size, self.rows.mtime))
        contents = np.frombuffer(b"".join(self.rows.content[row] for row in rows), np.uint8).reshape(len(rows), 32)
        dev, ino = np.frombuffer(said.dev, np.uint64), np.frombuffer(said.ino, np.uint64)
        is_there = np.ones(len(ino), np.bool_)
        is_there[said.failed] = False
        ctime = np.frombuffer(said.ctime, np.int64)
        columns = dev[is_there], ino[is_there], np.array(sizes, np.int64), np.array(times, np.int64), ctime[is_there]
        self._note(rows, FileStates(*columns, contents))
        self.of.meter.add(files=len(rows), size=sum(sizes))
        for row in rows if self.of.logs_files else ():
            log_file("wrote", self.rows.path(row), self.rows.size[row])

    # -- in this thread ------------------------------------------------------------------------------------------------

    def _found(
        self, chosen: pa.RecordBatch, gathered: Gathered, wanted: list[int], left: list[int]
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield (row, content) of the files that the store has; the others are recorded. ``left``: numbers in ``wanted``."""

        def on_erased(i: int) -> None:
            self.filled.erased.append(self.rows.path(wanted[i]))

        def on_damaged(i: int, error: SheafError) -> None:
            self.filled.damaged.append(Damaged(self.rows.path(wanted[i]), error.message))

        stored = [i for i in left if self.rows.size[wanted[i]]]
        for i in left:
            if not self.rows.size[wanted[i]]:
                yield wanted[i], b""
        for i, data in self.of.contents.gathered_files(chosen, gathered, stored, on_erased, on_damaged):
            yield wanted[i], data

    def _write_here(self, found: Iterator[tuple[int, Buffer]]) -> None:
        # Read the first file before waiting for a turn: others can write in the meantime.
        first = list(islice(found, 1))
        states: list[os.stat_result] = []
        rows: list[int] = []
        with self.of.turns.turn():
            for row, data in chain(first, found):
                self.of.ensure_needed()
                states.append(self._write(row, data))
                rows.append(row)
        self._note(rows, states_of(states, [self.rows.content[row] for row in rows]))

    def _write(self, row: int, data: Buffer) -> os.stat_result:
        """Write a file with its mode and time."""
        rows = self.rows
        try:
            folder = self.anchor.folder(rows.folder[row])
            state = write_file(folder, rows.name[row], data, rows.mode[row] & 0o777, rows.mtime[row], self.of.masked)
        except OSError as error:
            # This is the inner loop: a context manager for each file would slow it down.
            raise local_error(error, f"write {rows.path(row)}") from error
        if self.of.logs_files:
            log_file("wrote", rows.path(row), len(data))
        self.of.meter.add(files=1, size=len(data))
        return state

    def _link(self, row: int) -> None:
        """Create a symlink with its time. Raises Corrupt for an invalid target."""
        path, target = self.rows.path(row), self.rows.target[row]
        if not target or "\0" in target:
            raise Corrupt(f"symlink '{path}' of the manifest has no target", "run `sheaf store check`")
        with translated(f"make symlink {path}"):
            folder, name, mtime = self.anchor.folder(self.rows.folder[row]), self.rows.name[row], self.rows.mtime[row]
            if self.of.resumed:
                remove(name, folder)
            os.symlink(target, name, dir_fd=folder)
            os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
        if self.of.logs_files:
            log_file("wrote", path)
        self.filled.files += 1
        self.of.meter.add_file()
