"""Worker processes that use the same location: they receive jobs through a pipe and are killed without notice."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from sheaf.errors import Unavailable
from sheaf.torture.scratch_location import ScratchLocation

__all__ = ["TortureWorker", "workers"]

_SLOW_S = 120.0  # for a response of a process

Job = Callable[..., Any]  #: a module's function that gets the pipe, the location and the other arguments


class TortureWorker:
    """One worker process. It ends when its parent ends."""

    def __init__(self, location: ScratchLocation) -> None:
        # A fork would copy locks that threads hold.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, location), daemon=True)
        # The child inherits the mask: Ctrl-C must not stop it, since its parent does.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def begin(self, job: Job, *args: object) -> None:
        """Start a job; :meth:`next` returns what it sends and its result."""
        self.pipe.send((job, args))

    def next(self, within_s: float = _SLOW_S) -> Any:
        """Return the job's next message. Raises Unavailable after a timeout, or the job's own exception."""
        try:
            if not self.pipe.poll(within_s):
                raise Unavailable(
                    f"a worker process did not respond for {within_s:.0f} s",
                    "run the command again on a less busy machine",
                )
            said = self.pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise Unavailable(
                "a worker process died", "check the free memory of this machine and run the command again"
            ) from error
        if isinstance(said, BaseException):
            raise said
        return said

    def rest(self) -> list[Any]:
        """Return all messages that arrived from a killed process."""
        said = []
        try:
            while self.pipe.poll(0):
                said.append(self.pipe.recv())
        except (EOFError, ConnectionError):
            pass
        return said

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, location: ScratchLocation) -> None:
    while True:
        try:
            job, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(job(pipe, location, *args))
        except Exception as error:
            # The process that waits for the result raises it again.
            pipe.send(error)


@contextmanager
def workers(location: ScratchLocation, count: int) -> Iterator[list[TortureWorker]]:
    """Start ``count`` worker processes; they are killed at the end."""
    started: list[TortureWorker] = []
    try:
        for _ in range(count):
            started.append(TortureWorker(location))  # noqa: PERF401 - those before one that can't start are killed, too
        yield started
    finally:
        for worker in started:
            worker.kill()
