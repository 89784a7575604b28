"""One bundle that stays mounted: its process is watched, and started again on the same folder if it dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from sheaf.errors import Unavailable
from sheaf.sidecar.children import Child, Children
from sheaf.sidecar.command_lines import MountCommand
from sheaf.storage.folder.network_mounts import mounted_on

__all__ = ["MountProcess"]

_RESTARTS: Final = 5  # in a row; a mount that answered for a while starts at 0 again
_STEADY_S: Final = 60.0
_USED: Final = "Using bundle: "
_UNMOUNT_S: Final = 10.0
_SHORTEST_UNMOUNT_S: Final = 0.5  # even after the deadline of all mounts: one that stays would block its folder
#: Lists the folder: an answer of the mount's process, not of what the kernel remembers.
_PROBE: Final = "import os, sys; os.statvfs(sys.argv[1]); next(os.scandir(sys.argv[1]), None)"
_PROBE_S: Final = 30.0


class MountProcess:
    """``program``: what the mount's words are given to. Its methods never block on the mount."""

    def __init__(
        self, command: MountCommand, program: Sequence[str], children: Children, now: Callable[[], float]
    ) -> None:
        self.command = command
        self._program = program
        self._children = children
        self._now = now
        self._child: Child | None = None
        self._probe: Child | None = None
        self._probe_since = 0.0
        self._up_since: float | None = None
        self._restarts = 0
        self._has_been_up = False

    @property
    def name(self) -> str:
        return f"mount {self.command.mountpoint}"

    @property
    def is_up(self) -> bool:
        """Whether the mount has answered since its process was started."""
        return self._up_since is not None

    def start(self) -> None:
        self._remove_stale(self._now() + _UNMOUNT_S)
        self._up_since = None
        self._child = self._children.start(self.name, [*self._program, *self.command.words])

    def look(self) -> None:
        """Take note of what has happened, and act on it. Raises Unavailable if the mount can't be kept."""
        if self._child is None:
            return
        if self._child.code is not None:
            self._restart(self._child)
        elif self._up_since is None:
            self._ask()
        elif self._restarts and self._now() - self._up_since >= _STEADY_S:
            self._restarts = 0

    def _restart(self, dead: Child) -> None:
        self._children.drain(dead)
        self._end_probe()
        if not self._has_been_up:
            raise Unavailable(f"{self.command.mountpoint}: can't mount: {dead.reason}", "see the log of the sidecar")
        if self._restarts >= _RESTARTS:
            message = f"{self.command.mountpoint}: the mount ended {self._restarts + 1} times: {dead.reason}"
            raise Unavailable(message, "see the log of the sidecar, and its limit of memory")
        self._restarts += 1
        used = [line.removeprefix(_USED) for line in dead.lines if line.startswith(_USED)]
        if used:
            self.command = self.command.pinned(used[-1])
        self.start()

    def _ask(self) -> None:
        """Find out whether the mount answers, by a process of its own: a mount that hangs would hang this one."""
        mounted = mounted_on(self.command.mountpoint)
        if mounted is None or not mounted.kind.startswith("fuse"):
            return
        if self._probe is None:
            command = [sys.executable, "-I", "-S", "-c", _PROBE, str(self.command.mountpoint)]
            self._probe, self._probe_since = self._children.start(f"probe of {self.name}", command), self._now()
        elif self._probe.code == 0:
            self._probe, self._up_since, self._has_been_up = None, self._now(), True
        elif self._probe.code is not None or self._now() - self._probe_since > _PROBE_S:
            self._end_probe()  # it is asked again

    def _end_probe(self) -> None:
        if self._probe is not None:
            self._probe.signal(signal.SIGKILL)
        self._probe = None

    def stop(self) -> None:
        """Ask the process to unmount and end."""
        self._end_probe()
        if self._child is not None:
            self._child.signal(signal.SIGTERM)
        self._child, self._up_since = None, None

    def _remove_stale(self, deadline: float) -> None:
        """Unmount what a dead process has left on the folder. Programs that have it open get errors already."""
        mounted = mounted_on(self.command.mountpoint)
        if mounted is None or not mounted.kind.startswith("fuse") or _is_served(self.command):
            return
        point = str(self.command.mountpoint)
        for tool in (["fusermount3", "-u", "-z"], ["fusermount", "-u", "-z"], ["umount", "-l"]):
            if shutil.which(tool[0]) is None:
                continue
            left = max(_SHORTEST_UNMOUNT_S, deadline - self._now())
            with suppress(subprocess.TimeoutExpired):
                subprocess.run([*tool, point], capture_output=True, check=False, timeout=left)
            if mounted_on(self.command.mountpoint) != mounted:
                return

    def clean(self, deadline: float) -> None:
        """Unmount what is left after the process has been killed, by a time of the clock."""
        self._remove_stale(deadline)


def _is_served(command: MountCommand) -> bool:
    try:
        os.statvfs(command.mountpoint)
    except OSError:
        return False
    return True
