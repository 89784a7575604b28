"""Worker processes that decompress, verify and write files for a download.

In threads, each small file hands over Python's lock several times, which costs most of a second core
(docs/performance.md). A process has its own lock. It gets some megabytes of packs through shared memory, and a list of
the files that are in them.

The download doesn't depend on workers: a file that a worker can't write, because its bytes are damaged, the disk is full
or the worker has ended, is written by the requesting thread. Workers read nothing and know no store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import Any, Final

import numpy as np

from sheaf.engine.chunks.bulk.gather import Gathered
from sheaf.engine.core_limits import Limits
from sheaf.storage.port import Buffer
from sheaf.transfer.download.files.writer_process import WriteRequest, Written
from sheaf.transfer.worker_process import MOST_WORKERS, Worker, python_to_start, start_worker

__all__ = ["WriterProcess", "Writers", "request_of"]

_MODULE: Final = "sheaf.transfer.download.files.writer_process"


@dataclass(frozen=True, slots=True)
class WriterProcess(Worker):
    """A worker process that writes files. Use it in one thread at a time."""

    @classmethod
    def start(cls, python: str, root: int, lock: int, masked: int, room: int) -> WriterProcess:
        """Start a worker for files below ``root``, a descriptor. Raises OSError if the system allows no more processes.

        ``lock``: a locked descriptor, which stays locked until the worker has ended, even if this process is killed.
        ``masked``: the permission bits that new files don't get. ``room``: bytes of the shared memory.
        """
        numbers = room, root, masked, os.getpid()
        return cls(*start_worker(python, _MODULE, room, numbers, [root, lock]))

    def write(self, request: WriteRequest, ranges: Sequence[Buffer]) -> Written:
        """Write files whose frames are in ``ranges``, which follow each other in the memory.

        Raises LostWorker: some of the files may be written, and a part of one.
        """
        memory = np.frombuffer(self.memory, np.uint8)
        at = 0
        for data in ranges:
            # numpy copies without holding Python's lock.
            memory[at : at + len(data)] = np.frombuffer(data, np.uint8)
            at += len(data)
        return self._decoded(self._ask(request), Written)


def request_of(
    gathered: Gathered, chosen: Sequence[int], rows: Sequence[int], columns: Sequence[list[Any]]
) -> WriteRequest:
    """Return the request to write some of the gathered files.

    ``rows``: for each gathered file its row in ``columns``, which are folder, name, mode and mtime.
    """
    starts = list(accumulate((len(data) for data in gathered.ranges), initial=0))
    frames = [gathered.frames.get(i, ()) for i in chosen]
    flat = [(starts[f.range] + f.at, f.stored, f.length) for each in frames for f in each]
    at, stored, length = map(list, zip(*flat, strict=True)) if flat else ([], [], [])
    folder, name, mode, mtime = ([column[rows[i]] for i in chosen] for column in columns)
    size, content = [gathered.size[i] for i in chosen], [gathered.content[i] for i in chosen]
    bits = [each & 0o777 for each in mode]
    return WriteRequest(folder, name, bits, mtime, size, content, list(map(len, frames)), at, stored, length)


@dataclass(slots=True)
class Writers:
    """Up to ``count`` workers for files below ``root``, started once there is much to write.

    Call ``stop`` at the end, and ``close`` once no thread uses them.

    ``lock``, ``masked``: as in :meth:`WriterProcess.start`.
    """

    count: int
    limits: Limits
    root: int
    lock: int
    masked: int
    _files: int = 0
    _bytes: int = 0
    _all: list[WriterProcess] | None = None
    _idle: SimpleQueue[WriterProcess | None] = field(default_factory=SimpleQueue)

    def expect(self, files: int, size: int) -> None:
        """Announce files that will be written, and their bytes; starts the workers if these are many."""
        self._files += files
        self._bytes += size
        is_much = self._files >= self.limits.worker_files or self._bytes >= self.limits.worker_bytes
        if self._all is None and is_much:
            self._all = []
            self._start()

    def _start(self) -> None:
        python = python_to_start()
        if python is None:
            return
        assert self._all is not None
        for _ in range(min(self.count, MOST_WORKERS)):
            try:
                writer = WriterProcess.start(python, self.root, self.lock, self.masked, self.limits.worker_room)
            except OSError:
                return
            self._all.append(writer)
            self._idle.put(writer)

    def has_room(self, gathered: Gathered) -> bool:
        """True if the bytes of some files fit into the memory of a worker."""
        return sum(map(len, gathered.ranges)) <= self.limits.worker_room

    @contextmanager
    def one(self, *, wait: bool) -> Iterator[WriterProcess | None]:
        """Borrow a worker exclusively; None if there is none. ``wait``: until one is free, unless all have ended.

        If the block raises an error, the worker is not used again.
        """
        if not self._all:
            yield None
            return
        try:
            writer = self._idle.get(block=wait)
        except Empty:
            yield None
            return
        try:
            yield writer
        except BaseException:
            # It may have ended, or be about to send a reply to a request that nobody waits for any more.
            writer = None
            raise
        finally:
            # None lets the threads go on that wait for a worker.
            self._idle.put(writer)

    def stop(self) -> None:
        """End the workers, even while threads wait for their answers."""
        for writer in self._all or ():
            writer.stop()

    def close(self) -> None:
        """Close the descriptors of the workers, once they have ended and no thread uses them."""
        for writer in self._all or ():
            writer.close()
