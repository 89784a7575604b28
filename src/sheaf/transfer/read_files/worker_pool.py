"""Worker processes that read, hash, cut and compress whole files for an upload.

In threads, each file hands over Python's lock several times; where files are small, that costs most of a second core
(docs/performance.md). A process has its own lock. Groups of larger files are not worth a process: most of their time is
spent without the lock, and passing their bytes on costs more than the lock.

A worker is asked for some megabytes of files at a time: first for the hashes of their chunks, then for the frames of
those that the store lacks, so that no chunk is compressed in vain.

The upload doesn't depend on workers: files that a worker can't read, because they have changed or it has ended, are
read by the requesting thread. Workers write nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from sheaf.engine.chunks.compress import Frame
from sheaf.format.store_v1 import Chunker
from sheaf.transfer.read_files.worker import HASH, ROOM, Chunks, Frames, FramesRequest, Paths
from sheaf.transfer.worker_process import MOST_WORKERS, Worker, python_to_start, start_worker

__all__ = ["ReaderProcess", "Readers", "ScannedFiles"]

_MODULE: Final = "sheaf.transfer.read_files.worker"


@dataclass(frozen=True, slots=True)
class ScannedFiles:
    """Files as they were scanned: paths, bytes, and times in nanoseconds since 1970."""

    paths: list[str]
    size: list[int]
    mtime: list[int]
    ctime: list[int]


@dataclass(frozen=True, slots=True)
class _Read:
    """Files that a worker holds, for :meth:`sheaf.engine.chunks.ingest.Ingest.store_columns`."""

    reader: ReaderProcess
    hashes: list[bytes]
    counts: list[int]
    chunk_hashes: list[bytes]
    chunk_sizes: list[int]

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the frames of some chunks, by number. Raises LostWorker."""
        return self.reader.frames(wanted)


@dataclass(frozen=True, slots=True)
class ReaderProcess(Worker):
    """A worker process that reads files. Use it in one thread at a time."""

    @classmethod
    def start(cls, python: str) -> ReaderProcess:
        """Start a worker. Raises OSError if the system allows no more processes."""
        return cls(*start_worker(python, _MODULE, ROOM))

    def read(self, files: ScannedFiles, chunker: Chunker) -> _Read | None:
        """Read files in the worker. Return None if they are too large, or not all as scanned. Raises LostWorker."""
        if sum(files.size) > ROOM:
            return None
        asked = Paths(chunker, list(map(os.fsencode, files.paths)), files.size, files.mtime, files.ctime)
        if not (reply := self._ask(asked)):
            return None
        said = self._decoded(reply, Chunks)
        return _Read(self, _hashes(said.hashes), said.counts, _hashes(said.chunk_hashes), said.chunk_sizes)

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the compressed frames of some chunks, by number; valid until the next call. Raises LostWorker."""
        said = self._decoded(self._ask(FramesRequest(list(wanted))), Frames)
        data = memoryview(self.memory)
        frames: list[Frame] = []
        at = 0
        for i, length in enumerate(said.lengths):
            frames.append((said.codecs[i : i + 1], data[at : at + length]))
            at += length
        return frames


@dataclass(slots=True)
class Readers:
    """Up to ``count`` workers, started once there are ``many`` small files to read. Call ``close`` at the end."""

    count: int
    many: int
    _expected: int = 0
    _all: list[ReaderProcess] = field(default_factory=list)
    _idle: SimpleQueue[ReaderProcess] = field(default_factory=SimpleQueue)

    def expect(self, files: int) -> None:
        """Announce that ``files`` more small files will be read; starts the workers if these are many."""
        before, self._expected = self._expected, self._expected + files
        if before < self.many <= self._expected and (python := python_to_start()):
            for _ in range(min(self.count, MOST_WORKERS)):
                try:
                    reader = ReaderProcess.start(python)
                except OSError:
                    break
                self._all.append(reader)
                self._idle.put(reader)

    @contextmanager
    def one(self) -> Iterator[ReaderProcess | None]:
        """Borrow a worker exclusively; None if none is free.

        If the block raises an error, the worker is not used again.
        """
        try:
            reader = self._idle.get_nowait()
        except Empty:
            yield None
            return
        yield reader
        self._idle.put(reader)

    def close(self) -> None:
        """End the workers, and close the descriptors of those that no thread uses."""
        for reader in self._all:
            reader.stop()
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH] for at in range(0, len(joined), HASH)]
