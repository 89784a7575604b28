"""Start the worker processes of uploads and downloads: their command, and the memory that they share with this process."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

__all__ = ["Started", "python_to_start", "release", "start_worker"]

_IN_MEMORY: Final = "/dev/shm"
_FLAGS: Final = (("isolated", "-I"), ("ignore_environment", "-E"), ("no_user_site", "-s"))

Started = tuple["subprocess.Popen[bytes]", Connection, mmap.mmap]


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


def release(connection: Connection, memory: mmap.mmap) -> None:
    """Close the descriptors of a worker that has ended, once no thread uses them."""
    connection.close()
    # A buffer of the memory that is still referenced, as by a traceback, keeps it until then.
    with contextlib.suppress(BufferError):
        memory.close()


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
