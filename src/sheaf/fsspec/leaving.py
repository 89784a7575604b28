"""Wait at the end of a program for threads that may still use our files.

Arrow reads Python's files from threads of its own, and drops them there, at times after the call that read them has
returned. If the interpreter is on its way out by then, the thread dies in C++ and takes the program with it ("terminate
called without an active exception", apache/arrow#34314): a script that has done all its work ends with a core dump.
So whoever leaves waits until those threads are done, a moment in practice.
"""

from __future__ import annotations

import atexit
import time
from weakref import WeakSet

from sheaf.fork import in_child
from sheaf.vfs import BundleFile

__all__ = ["let_go", "remember"]

#: Seconds at most: a file that the program itself still holds open never goes.
_PATIENCE = 0.2
_HELD: WeakSet[BundleFile] = WeakSet()
in_child(_HELD, WeakSet.clear)  # those of the parent's threads, which are not in the child


def remember(file: BundleFile) -> None:
    """This file was handed out."""
    _HELD.add(file)


@atexit.register
def let_go(patience: float = _PATIENCE) -> bool:
    """Wait until no file is in use, at most ``patience`` seconds. Returns True if none is."""
    until = time.monotonic() + patience
    while len(_HELD) and time.monotonic() < until:
        time.sleep(0.001)  # also what lets the other threads have the interpreter
    return not len(_HELD)
