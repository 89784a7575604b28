"""Wait at the end of a program for threads that may still use our files.

Arrow reads Python's files on its own threads, and releases them there, sometimes after the call that read them has
returned. If the interpreter is shutting down by then, the thread dies in C++ and takes the program with it ("terminate
called without an active exception", apache/arrow#34314): a script that has done all its work ends with a core dump. So
the interpreter waits at exit until those threads have released their files, usually for a moment.
"""

from __future__ import annotations

import atexit
import time
from weakref import WeakSet

from sheaf.fork import in_child
from sheaf.vfs import BundleFile

__all__ = ["let_go", "remember"]

#: Longest wait, in seconds. A file that the program itself still holds open is never released.
_PATIENCE = 0.2
_HELD: WeakSet[BundleFile] = WeakSet()
in_child(_HELD, WeakSet.clear)  # A forked child doesn't have the parent's threads, nor their files.


def remember(file: BundleFile) -> None:
    """Wait for this file at the end of the program."""
    _HELD.add(file)


@atexit.register
def let_go(patience: float = _PATIENCE) -> bool:
    """Wait until no file is in use, at most ``patience`` seconds. Return True if none is in use."""
    until = time.monotonic() + patience
    while len(_HELD) and time.monotonic() < until:
        # Sleeping also gives the interpreter lock to the threads that release files.
        time.sleep(0.001)
    return not len(_HELD)
