"""Processes that read, hash and compress small files for an upload.

In threads, each small file hands Python's lock over several times, and most of a second core is spent on that
(docs/performance.md). A process of its own has a lock of its own. It is asked for a few hundred files at once: first
their hashes, then the frames of those that the store lacks, so that nothing is compressed in vain.

Nothing depends on them: what a reading process can't take, since a file has changed, or can't be read, or the process
is gone, is read where it always was, by the thread that asked. It writes nothing anywhere.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from typing import IO, Final

import msgspec

from sheaf.engine.chunks.compress import Frame
from sheaf.transfer.small_files.worker import HASH, ROOM, Frames, Paths, Wanted

__all__ = ["Files", "Lost", "Reader", "Readers"]

_MOST: Final = 6  # who stores what they read can't follow more


class Lost(Exception):
    """A reading process is gone."""


@dataclass(frozen=True, slots=True)
class Files:
    """Small files as they were scanned: paths, bytes, and times in nanoseconds since 1970."""

    paths: list[str]
    size: list[int]
    mtime: list[int]
    ctime: list[int]


@dataclass(frozen=True, slots=True)
class _Read:
    """Contents in a reading process, for :meth:`sheaf.engine.chunks.ingest.Ingest.store_columns`."""

    reader: Reader
    hashes: list[bytes]
    sizes: list[int]

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Raises Lost."""
        return self.reader.frames(wanted)


@dataclass(frozen=True, slots=True)
class Reader:
    """One process. For one thread at a time."""

    process: subprocess.Popen[bytes]
    connection: Connection
    memory: mmap.mmap

    @classmethod
    def start(cls, python: str) -> Reader:
        """Raises OSError if the system has no room for another process."""
        ours, theirs = Pipe()
        with theirs, _memory() as file:
            command = [
                python,
                "-P",
                "-m",
                "sheaf.transfer.small_files.worker",
                str(theirs.fileno()),
                str(file.fileno()),
            ]
            quiet = subprocess.DEVNULL  # it has nothing to say: what fails there is done again here, and says so
            process = subprocess.Popen(
                command, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=[theirs.fileno(), file.fileno()]
            )
            return cls(process, ours, mmap.mmap(file.fileno(), ROOM))

    def read(self, files: Files) -> _Read | None:
        """The files' contents; None: they are too large, or not all as they were scanned. Raises Lost."""
        if sum(files.size) > ROOM:
            return None
        asked = Paths(list(map(os.fsencode, files.paths)), files.size, files.mtime, files.ctime)
        hashes = self._ask(asked)
        if not hashes:
            return None
        return _Read(self, [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)], files.size)

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Compressed frames for the given file indices; valid until the next call. Raises Lost."""
        said = msgspec.msgpack.decode(self._ask(Wanted(list(wanted))), type=Frames)
        data = memoryview(self.memory)
        frames: list[Frame] = []
        at = 0
        for i, length in enumerate(said.lengths):
            frames.append((said.codecs[i : i + 1], data[at : at + length]))
            at += length
        return frames

    def stop(self) -> None:
        """End the process, even while a thread waits for its answer.

        The socket is closed by who forgets it last: that thread may be about to read from its number.
        """
        self.process.kill()
        self.process.wait()

    def _ask(self, question: Paths | Wanted) -> bytes:
        try:
            self.connection.send_bytes(msgspec.msgpack.encode(question))
            return self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise Lost from error


@dataclass(slots=True)
class Readers:
    """Up to ``count`` processes, started once there are ``many`` files to read. Call ``close`` at the end."""

    count: int
    many: int
    _expected: int = 0
    _all: list[Reader] = field(default_factory=list)
    _idle: SimpleQueue[Reader] = field(default_factory=SimpleQueue)

    def expect(self, files: int) -> None:
        """So many more small files are about to be read."""
        before, self._expected = self._expected, self._expected + files
        if before < self.many <= self._expected and (python := _python()):
            for _ in range(min(self.count, _MOST)):
                try:
                    reader = Reader.start(python)
                except OSError:
                    break
                self._all.append(reader)
                self._idle.put(reader)

    @contextmanager
    def one(self) -> Iterator[Reader | None]:
        """Borrow a process exclusively; None: none is free. One that is lost is not lent again."""
        try:
            reader = self._idle.get_nowait()
        except Empty:
            yield None
            return
        yield reader
        self._idle.put(reader)

    def close(self) -> None:
        """Ends them."""
        for reader in self._all:
            reader.stop()


def _python() -> str | None:
    """What to start; None where this is a program that has Python in it, and starting that would start the program."""
    name = Path(sys.executable or "").name
    return sys.executable if name.startswith("python") and not getattr(sys, "frozen", False) else None


def _memory() -> IO[bytes]:
    """A file of ``ROOM`` bytes that two processes map: in memory where the system has such files."""
    file: IO[bytes] = open(os.memfd_create("sheaf-frames"), "w+b") if sys.platform == "linux" else TemporaryFile()  # noqa: SIM115
    file.truncate(ROOM)
    return file
