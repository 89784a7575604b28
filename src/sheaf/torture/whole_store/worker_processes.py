"""Other processes that are clients of the same place: told what to do through a pipe, and killed without notice."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from sheaf.errors import Unavailable
from sheaf.torture.scratch_location import Place

__all__ = ["Worker", "workers"]

_SLOW_S = 120.0  # for an answer of a process

Job = Callable[..., Any]  #: a function of a module: gets the pipe, the place, and what else it was given


class Worker:
    """One process. It dies with this one."""

    def __init__(self, place: Place) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, place), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited: whoever started it ends it
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def begin(self, job: Job, *args: object) -> None:
        """Starts a job; what it sends, and what it returns, arrives at :meth:`next`."""
        self.pipe.send((job, args))

    def next(self, within_s: float = _SLOW_S) -> Any:
        """What the job says next. Raises Unavailable if that takes too long, or what the job raised."""
        try:
            if not self.pipe.poll(within_s):
                raise Unavailable(f"a process said nothing for {within_s:.0f} s", "run it again with more time")
            said = self.pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise Unavailable("a process has died", "run it again, and look at the memory of this machine") from error
        if isinstance(said, BaseException):
            raise said
        return said

    def rest(self) -> list[Any]:
        """All that has arrived of a process that was killed."""
        said = []
        try:
            while self.pipe.poll(0):
                said.append(self.pipe.recv())
        except (EOFError, ConnectionError):
            pass
        return said

    def kill(self) -> None:
        """SIGKILL: nothing of it gets to run again."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, place: Place) -> None:
    while True:
        try:
            job, args = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(job(pipe, place, *args))
        except Exception as error:  # raised again by whoever waits for the answer
            pipe.send(error)


@contextmanager
def workers(place: Place, count: int) -> Iterator[list[Worker]]:
    """So many processes; killed in the end."""
    started: list[Worker] = []
    try:
        for _ in range(count):
            started.append(Worker(place))  # noqa: PERF401 - those before one that can't start are killed, too
        yield started
    finally:
        for worker in started:
            worker.kill()
