"""Work in steps: a generator that yields what it waits for, and never blocks."""

from __future__ import annotations

import subprocess
from collections.abc import Generator

from sheaf.errors import SheafError, Unavailable
from sheaf.sidecar.children import Children
from sheaf.sidecar.command_queue import Command, CommandQueue

__all__ = ["StepRunner", "Steps", "run_steps"]

Steps = Generator[str, None, None]


class StepRunner:
    """Takes the next step at each :meth:`look`."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._is_done = False
        self._failure: SheafError | None = None
        #: What is being waited for; "" when all is done.
        self.waits_for = ""

    def look(self) -> bool:
        """Take the next step. Returns True when all are done; raises SheafError, and the same again."""
        if self._failure is not None:
            raise self._failure
        if not self._is_done:
            try:
                self.waits_for = next(self._steps)
            except StopIteration:
                self._is_done, self.waits_for = True, ""
            except SheafError as error:
                self._failure = error
                raise
            except (OSError, subprocess.SubprocessError) as error:  # such as a full disk: others must still be saved
                place = f"{getattr(error, 'filename', None) or self.waits_for or 'sidecar'}"
                reason = getattr(error, "strerror", None) or error
                self._failure = Unavailable(f"{place}: {reason}", "see the volume's free space and permissions")
                raise self._failure from error
        return self._is_done


def run_steps(command: Command, children: Children) -> Steps:
    """Run one command to its end. Raises Unavailable if it fails."""
    queue = CommandQueue([command], children)
    while not queue.look():
        yield command.name
