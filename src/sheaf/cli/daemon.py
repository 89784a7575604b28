"""``--daemonize``: continue in the background; the command returns once that process is ready."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sheaf.private_files import make_private_folder

__all__ = ["Daemon", "detach"]


@dataclass(frozen=True, slots=True)
class Daemon:
    """The background process: ``ready`` lets the command return, and detaches from the terminal."""

    pipe: int
    log: Path

    def ready(self) -> None:
        """Call once, when everything is ready; later output goes to the log."""
        sys.stdout.flush()
        sys.stderr.flush()
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd, here in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(fd, here)
        os.close(nothing)
        os.close(log)
        os.write(self.pipe, b"1")
        os.close(self.pipe)

    def finish(self) -> None:
        """Remove the log if nothing was printed."""
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            if not self.log.stat().st_size:
                self.log.unlink()


def detach(log: Path) -> Daemon | int:
    """Fork. Return a Daemon in the background; in the command, the exit code once that is ready or has failed.

    Call before anything starts a thread or opens a connection.
    """
    make_private_folder(log.parent)
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.setsid()
        return Daemon(writer, log)
    os.close(writer)
    is_ready = os.read(reader, 1) == b"1"
    os.close(reader)
    return 0 if is_ready else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
