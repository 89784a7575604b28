"""Commands that run one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sheaf.errors import SheafError, Unavailable
from sheaf.sidecar.children import Account, Child, Children

__all__ = ["Command", "CommandQueue"]


def _nothing(_: Child) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Command:
    """``when_done`` is called with its process when that has ended without an error.

    ``is_quiet``: only what it prints on standard error is shown; ``is_secret``: not even that.
    """

    name: str
    words: Sequence[str]
    when_done: Callable[[Child], None] = _nothing
    is_quiet: bool = False
    is_secret: bool = False
    account: Account | None = None


class CommandQueue:
    """Runs commands while :meth:`look` is called. ``keep_going``: the first error is raised after all have run."""

    def __init__(self, commands: Iterable[Command], children: Children, *, keep_going: bool = False) -> None:
        self._waiting = deque(commands)
        self._children = children
        self._running: tuple[Command, Child] | None = None
        self._keep_going = keep_going
        self._failure: SheafError | None = None

    @property
    def current(self) -> str:
        """The name of the command that runs, or is next; "" when all are done."""
        if self._running is not None:
            return self._running[0].name
        return self._waiting[0].name if self._waiting else ""

    def look(self) -> bool:
        """Start what is next. Returns True when all are done; raises SheafError if a command has failed."""
        while self._running or self._waiting:
            try:
                if not self._is_next_done():
                    return False
            except SheafError as error:
                self._failure = self._failure or error
                if not self._keep_going:
                    self._waiting.clear()
        if self._failure is not None:
            raise self._failure
        return True

    def _is_next_done(self) -> bool:
        if self._running is None:
            command = self._waiting.popleft()
            child = self._children.start(
                command.name,
                command.words,
                is_quiet=command.is_quiet,
                is_secret=command.is_secret,
                account=command.account,
            )
            self._running = command, child
        command, child = self._running
        if child.code is None:
            return False
        self._children.drain(child)
        self._running = None
        if child.code:
            raise Unavailable(f"{command.name}: {child.reason}", "see the log of the sidecar")
        command.when_done(child)
        return True
