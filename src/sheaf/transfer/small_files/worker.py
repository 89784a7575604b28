"""The main program of a reading process (see readers.py): ``python -m sheaf.transfer.readermain SOCKET MEMORY``.

It imports little, so that it is there at once. Frames go through memory that both have: a message of them would be
copied four times.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from multiprocessing.connection import Connection

import msgspec
from blake3 import blake3

from sheaf.engine.chunks.compress import squeeze
from sheaf.errors import SheafError
from sheaf.transfer.local.read import read_small

__all__ = ["HASH", "ROOM", "Frames", "Paths", "Wanted"]

HASH = 32  #: bytes
ROOM = 8 << 20  #: bytes of the memory for frames; who asks takes care that they fit


class Paths(msgspec.Struct, frozen=True, tag=True):
    """Asks for the hashes of files, as bytes back to back; no bytes: not all of them are as they were scanned."""

    paths: list[bytes]
    size: list[int]
    mtime: list[int]
    ctime: list[int]


class Wanted(msgspec.Struct, frozen=True, tag=True):
    """Asks how some of these files are stored, by their numbers: :class:`Frames`."""

    numbers: list[int]


class Frames(msgspec.Struct, frozen=True):
    """A byte of codec for each frame, and its length without that; the frames are in the memory, back to back."""

    codecs: bytes
    lengths: list[int]


class _Reading:
    """One question after the other; what was read stays until the next files are asked for."""

    def __init__(self, connection: Connection, memory: mmap.mmap) -> None:
        self._connection = connection
        self._memory = memory
        self._contents: list[bytes] = []
        self._hashes: list[bytes] = []

    def run(self) -> None:
        """Answer requests until the socket is closed."""
        decoder = msgspec.msgpack.Decoder(Paths | Wanted)
        while True:
            match decoder.decode(self._connection.recv_bytes()):
                case Paths() as asked:
                    self._connection.send_bytes(self._read(asked))
                case Wanted(numbers):
                    self._send_frames(numbers)

    def _read(self, asked: Paths) -> bytes:
        self._contents, self._hashes = [], []
        for path, size, mtime, ctime in zip(asked.paths, asked.size, asked.mtime, asked.ctime, strict=True):
            try:
                read = read_small(os.fsdecode(path), size, mtime, ctime)
            except SheafError:
                return b""
            if read is None or read[1] is not None:
                return b""
            content = read[0]
            self._contents.append(content)
            self._hashes.append(blake3(content).digest())
        return b"".join(self._hashes)

    def _send_frames(self, numbers: list[int]) -> None:
        contents, hashes = [self._contents[i] for i in numbers], [self._hashes[i] for i in numbers]
        frames = squeeze(contents, hashes, adaptive=False)
        self._memory.seek(0)
        self._memory.write(b"".join(data for _, data in frames))
        said = Frames(b"".join(codec for codec, _ in frames), [len(data) for _, data in frames])
        self._connection.send_bytes(msgspec.msgpack.encode(said))


def main() -> None:
    """Answer what comes through the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to whole groups of processes; who asks decides
    try:
        _Reading(Connection(int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), ROOM)).run()
    except (EOFError, OSError):  # who asked is gone
        return


if __name__ == "__main__":
    main()
