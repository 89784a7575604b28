"""Worker processes of uploads and downloads: how they are started, asked and ended, and the memory that they share."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, TypeVar

import msgspec

__all__ = ["MOST_WORKERS", "LostWorker", "Started", "Worker", "python_to_start", "start_worker"]

MOST_WORKERS: Final = 6  #: the process that they work for can't keep up with more

_IN_MEMORY: Final = "/dev/shm"
_FLAGS: Final = (("isolated", "-I"), ("ignore_environment", "-E"), ("no_user_site", "-s"))

Started = tuple["subprocess.Popen[bytes]", Connection, mmap.mmap]
T = TypeVar("T")


class LostWorker(Exception):
    """A worker process has ended. A part of the last request may be done."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process. Use it in one thread at a time."""

    process: subprocess.Popen[bytes]
    connection: Connection
    memory: mmap.mmap

    def stop(self) -> None:
        """End the process, even while a thread waits for its answer.

        This doesn't close the socket, because that thread may be about to read from its descriptor.
        """
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Close the descriptors, once the process has ended and no thread uses it."""
        self.connection.close()
        # A buffer of the memory that is still referenced, as by a traceback, keeps it until then.
        with contextlib.suppress(BufferError):
            self.memory.close()

    def _ask(self, question: Any) -> bytes:
        """Send a request and return the reply. Raises LostWorker, once the process has ended."""
        try:
            self.connection.send_bytes(msgspec.msgpack.encode(question))
            return self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            # It must do nothing more: this process does the same work instead.
            self.stop()
            raise LostWorker from error

    def _decoded(self, reply: bytes, what: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(reply, type=what)
        except msgspec.DecodeError as error:
            self.stop()
            raise LostWorker from error


def start_worker(
    python: str, module: str, room: int, numbers: Sequence[int] = (), passed: Sequence[int] = ()
) -> Started:
    """Start ``python -m module SOCKET MEMORY NUMBERS...``; return the process, our end of the socket, and the memory.

    ``room``: bytes of the memory. ``passed``: descriptors that the worker inherits. Raises OSError if the system allows
    no more processes, or has no such memory.
    """
    with contextlib.ExitStack() as on_error:
        ours, theirs = Pipe()
        on_error.callback(ours.close)
        with theirs, _memory(room) as file:
            memory = mmap.mmap(file.fileno(), room)
            on_error.callback(memory.close)
            descriptors = theirs.fileno(), file.fileno()
            # A worker needs no stderr: this process does again what fails there, and reports the error.
            quiet = subprocess.DEVNULL
            process = subprocess.Popen(
                [*_command(python), module, *map(str, (*descriptors, *numbers))],
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                pass_fds=(*descriptors, *passed),
            )
        on_error.pop_all()
        return process, ours, memory


def python_to_start() -> str | None:
    """Return the Python to start, None in a program with an embedded Python: starting it would start the program."""
    name = Path(sys.executable or "").name
    return sys.executable if name.startswith("python") and not getattr(sys, "frozen", False) else None


def _command(python: str) -> list[str]:
    """Return the command that runs a module with the same packages and the same encoding of names as this process.

    Transfers require UTF-8 for names, which this process may have from an option that a worker does not inherit.
    """
    flags = [option for name, option in _FLAGS if getattr(sys.flags, name)]
    return [python, *flags, "-P", "-X", "utf8", "-m"]


def _memory(size: int, folder: str = _IN_MEMORY) -> IO[bytes]:
    """Return a file of ``size`` bytes in memory, which two processes map. Raises OSError if the system has none.

    It never is on a disk, because it contains decrypted bytes. ``folder``: a file system in memory, for a Python that was
    built for an old system without the call.
    """
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = open(os.memfd_create("sheaf-worker"), "w+b")  # noqa: SIM115
        file.truncate(size)
        return file
    file = TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        # Space that turns out to be missing at a write would kill this process by a signal.
        os.posix_fallocate(file.fileno(), 0, size)
    except BaseException:
        file.close()
        raise
    return file
