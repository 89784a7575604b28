"""Child processes whose lines are passed on, and one wait for all that can happen: output, ends of processes, signals."""

from __future__ import annotations

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final

from sheaf.errors import Unavailable

__all__ = ["Account", "Child", "Children", "Signals"]

_PR_SET_PDEATHSIG: Final = 1
_READ: Final = 1 << 16
_KEPT_LINES: Final = 50
_LOOK_S: Final = 0.1  # a child that has ended may not show it: its own children can keep its pipes open
_KILLED_S: Final = 5.0  # a process that waits for a device does not even end by SIGKILL
_ERROR: Final = re.compile(r"(?:^|: )(?:error|fatal): ", re.IGNORECASE)
_ENDINGS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Account:
    """How a child runs that must not have all that this process has. ``uid`` and ``gid`` are None for this process' own."""

    uid: int | None
    gid: int | None
    environment: Mapping[str, str]


class Child:
    """A running process. ``lines``: the last lines of its standard output, ``complaints`` of its standard error."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self.complaints: list[str] = []

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs. Negative for a signal."""
        return self.process.poll()

    @property
    def is_silent(self) -> bool:
        """True if it has closed its pipes."""
        return all(pipe is None or pipe.closed for pipe in (self.process.stdout, self.process.stderr))

    @property
    def ending(self) -> str:
        """How it has ended."""
        code = self.code or 0
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    @property
    def reason(self) -> str:
        """Why it has failed, in its own words if it said any."""
        lines = [line for line in self.complaints if not line.startswith(("hint:", "INFO:"))]
        said = [line for line in lines if _ERROR.search(line)] or lines  # others are details, such as a statement
        if not said:
            return self.ending
        return f"{said[-1].removeprefix('ERROR: ').removeprefix('error: ')} ({self.ending})"

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class _Stream:
    """One output of a child, cut into lines."""

    def __init__(self, child: Child, kept: list[str], pass_on: Callable[[str], None]) -> None:
        self._name = child.name
        self._kept = kept
        self._pass_on = pass_on
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            whole, self._rest = [self._rest], b""
        for raw in whole:
            line = raw.decode("utf-8", "backslashreplace").rstrip()
            self._kept.append(line)
            del self._kept[:-_KEPT_LINES]
            self._pass_on(f"{self._name}: {line}")


class Children:
    """All processes of a sidecar. ``pass_on`` is given each line that they print, behind the child's name."""

    def __init__(self, environment: Mapping[str, str], pass_on: Callable[[str], None]) -> None:
        self._environment = environment
        self._pass_on = pass_on
        self._selector = selectors.DefaultSelector()
        self._all: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        is_quiet: bool = False,
        is_secret: bool = False,
        account: Account | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
    ) -> Child:
        """Run a command. It ends when this process does, however that ends. Raises Unavailable if it can't be run.

        ``is_quiet``: what it prints on standard output is not passed on; ``is_secret``: nor what it prints on standard
        error. ``end_signal``: what it gets when this process has ended.
        """
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(account.environment if account else self._environment),
                start_new_session=True,  # Ctrl-C must not end a mount while the application still reads
                preexec_fn=partial(_end_with_parent, end_signal),  # noqa: PLW1509 - this process has no threads
                **_switch(account),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"{name}: can't run {command[0]}: {getattr(error, 'strerror', error)}") from error
        child = Child(name, process)
        outputs = (
            (process.stdout, child.lines, _drop if is_quiet else self._pass_on),
            (process.stderr, child.complaints, _drop if is_secret else self._pass_on),
        )
        for pipe, kept, pass_on in outputs:
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, _Stream(child, kept, pass_on))
        self._all.append(child)
        return child

    def watch(self, descriptor: int) -> None:
        """Let :meth:`wait` return when this can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def wait(self, seconds: float) -> None:
        """Pass on what children print. Returns after the time, or earlier if a child or a signal said something."""
        if any(child.is_silent for child in self._all):
            # A child that has closed its pipes is about to end, and no descriptor shows when it has.
            seconds = min(seconds, _LOOK_S)
        for key, _ in self._selector.select(seconds):
            data = self._read(key.fd)
            if key.data is None:
                continue
            key.data.feed(data or b"")
            if data == b"":
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        self._all = [child for child in self._all if child.code is None]

    @staticmethod
    def _read(descriptor: int) -> bytes | None:
        try:
            return os.read(descriptor, _READ)
        except BlockingIOError:
            return None

    def drain(self, child: Child) -> None:
        """Read what an ended child has left in its pipes."""
        pipes = (child.process.stdout, child.process.stderr)
        while any(pipe is not None and not pipe.closed for pipe in pipes) and self._selector.select(0):
            self.wait(0)

    def stop(self, patience: float) -> None:
        """End all children: SIGTERM, and SIGKILL to those that are left after a time in seconds, which all share."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, _KILLED_S)):
            for child in self._all:
                child.signal(number)
            deadline = time.monotonic() + seconds
            while self._all and (left := deadline - time.monotonic()) > 0:
                self.wait(min(left, _LOOK_S))  # a child whose lines are not read could not end
        self.wait(0)


class Signals:
    """Counts the signals that ask this process to end, instead of ending it."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Signals:
        self.wakeup, writer = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writer, False)
        self._writer = writer
        self._wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._come) for number in _ENDINGS}
        return self

    def _come(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.wakeup)
        os.close(self._writer)


def _drop(_: str) -> None:
    return None


def _switch(account: Account | None) -> dict[str, Any]:
    """Arguments of Popen. Another user may not have access to the current folder."""
    if account is None or account.uid is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": [], "cwd": "/"}


def _end_with_parent(number: signal.Signals) -> None:
    """Ask Linux for a signal when the parent has ended, even by SIGKILL: no mount and no upload goes on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
