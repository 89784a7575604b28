"""The main program of a worker process (see worker_pool.py): ``python -m sheaf.transfer.read_files.worker SOCKET MEMORY``.

It imports little, so that it starts fast. Frames are passed through shared memory: a message with them would be copied
four times.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from multiprocessing.connection import Connection

import msgspec

from sheaf.engine.chunks.files_in_memory import FilesInMemory
from sheaf.errors import SheafError
from sheaf.format.store_v1 import Chunker
from sheaf.transfer.local.read import read_whole

__all__ = ["HASH", "ROOM", "Chunks", "Frames", "FramesRequest", "Paths"]

HASH = 32  #: bytes
ROOM = 8 << 20  #: bytes of the shared memory for frames; the parent process ensures that they fit


class Paths(msgspec.Struct, frozen=True, tag=True):
    """Request to read files and cut them into chunks. The reply is :class:`Chunks`, or empty if not all are as scanned."""

    chunker: Chunker
    paths: list[bytes]
    size: list[int]
    mtime: list[int]
    ctime: list[int]


class Chunks(msgspec.Struct, frozen=True):
    """Files and their chunks, as in :class:`FilesInMemory`; hashes are one after the other."""

    hashes: bytes
    counts: list[int]
    chunk_hashes: bytes
    chunk_sizes: list[int]


class FramesRequest(msgspec.Struct, frozen=True, tag=True):
    """Request for the frames of some of these chunks, by number. The reply is :class:`Frames`."""

    numbers: list[int]


class Frames(msgspec.Struct, frozen=True):
    """For each frame its codec (a byte) and its length without that. The frames are in the memory, one after the other."""

    codecs: bytes
    lengths: list[int]


class _Reading:
    """Answers one request after the other. File contents stay until the next files are requested."""

    def __init__(self, connection: Connection, memory: mmap.mmap) -> None:
        self._connection = connection
        self._memory = memory
        self._files = FilesInMemory([], Chunker())

    def run(self) -> None:
        """Answer requests until the socket is closed."""
        decoder = msgspec.msgpack.Decoder(Paths | FramesRequest)
        while True:
            match decoder.decode(self._connection.recv_bytes()):
                case Paths() as asked:
                    self._connection.send_bytes(self._read(asked))
                case FramesRequest(numbers):
                    self._send_frames(numbers)

    def _read(self, asked: Paths) -> bytes:
        """Read, hash and cut files. Returns no bytes if one of them can't be read or has changed since the scan."""
        self._files = FilesInMemory([], asked.chunker)
        contents: list[bytes] = []
        for path, size, mtime, ctime in zip(asked.paths, asked.size, asked.mtime, asked.ctime, strict=True):
            try:
                read = read_whole(os.fsdecode(path), size, mtime, ctime)
            except (OSError, ValueError, SheafError):
                # The requesting thread reads these files, and reports what is wrong.
                return b""
            if read is None or read[1] is not None:
                return b""
            contents.append(read[0])
        files = self._files = FilesInMemory(contents, asked.chunker)
        chunk_hashes = b"".join(files.chunk_hashes)
        return msgspec.msgpack.encode(Chunks(b"".join(files.hashes), files.counts, chunk_hashes, files.chunk_sizes))

    def _send_frames(self, numbers: list[int]) -> None:
        frames = self._files.frames(numbers)
        self._memory.seek(0)
        for _, data in frames:
            self._memory.write(data)
        said = Frames(b"".join(codec for codec, _ in frames), [len(data) for _, data in frames])
        self._connection.send_bytes(msgspec.msgpack.encode(said))


def main() -> None:
    """Answer requests that come through the socket."""
    # The terminal sends SIGINT to the whole process group; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _Reading(Connection(int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), ROOM)).run()
    except (EOFError, OSError):
        # The parent has ended.
        return


if __name__ == "__main__":
    main()
