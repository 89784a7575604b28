"""The kind ``fuse``: bundles are mounted before the application starts, folders are uploaded after it has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sheaf.errors import Bug
from sheaf.sidecar.children import Children
from sheaf.sidecar.command_lines import FuseCommands, MountCommand, value_of
from sheaf.sidecar.command_queue import Command, CommandQueue
from sheaf.sidecar.mount_process import MountProcess
from sheaf.sidecar.uploads import upload_checks, upload_of

__all__ = ["FuseSidecar"]

_MIB: Final = 1 << 20
_SMALLEST_CACHE: Final = 4 * _MIB
_PATIENCE_S: Final = 10.0
_FUSE_CONF: Final = Path("/etc/fuse.conf")


class FuseSidecar:
    """``program``: the command that reads the words. ``cache_bytes``: memory for what all mounts together cache.

    ``report``: is given lines for the log.
    """

    def __init__(
        self,
        commands: FuseCommands,
        program: Sequence[str],
        children: Children,
        cache_bytes: int,
        report: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._program = tuple(program)
        self._children = children
        self._report = report
        self._now = now
        share = max(_SMALLEST_CACHE, cache_bytes // max(1, len(commands.mounts)))
        self._mounts = [MountProcess(_completed(each, share), program, children, now) for each in commands.mounts]
        self._config = CommandQueue(self._configuration(), children)
        self._checks = CommandQueue(upload_checks(commands.uploads, program), children)
        self._uploads: CommandQueue | None = None
        self._are_mounts_started = False
        #: Ids of the bundles that were committed.
        self.bundles: list[str] = []

    def _configuration(self) -> Iterator[Command]:
        if self._commands.config:
            yield Command("config", (*self._program, *self._commands.config))

    @property
    def waits_for(self) -> str:
        """What is being waited for."""
        if self._uploads is not None:
            return self._uploads.current
        silent = [mount.name for mount in self._mounts if not mount.is_up]
        return self._config.current or self._checks.current or ", ".join(silent)

    def is_ready(self) -> bool:
        """Whether every mount answers; starts what is to be started. Raises Unavailable."""
        if not self._config.look():
            return False
        if not self._are_mounts_started:
            self._are_mounts_started = True
            for mount in self._mounts:
                mount.start()
        self.watch()
        is_checked = self._checks.look()
        return is_checked and all(mount.is_up for mount in self._mounts)

    def watch(self) -> None:
        """Keep the mounts. Raises Unavailable if one can't be kept."""
        for mount in self._mounts:
            mount.look()

    def save(self, *, is_unfinished: bool) -> None:
        """End the mounts and begin the uploads."""
        for mount in self._mounts:
            mount.stop()
        uploads = [upload.unfinished() if is_unfinished else upload for upload in self._commands.uploads]
        self._uploads = CommandQueue(
            (upload_of(upload, self._program, self.bundles, self._report) for upload in uploads),
            self._children,
            keep_going=True,
        )

    def is_saved(self) -> bool:
        """Whether all uploads are done. Raises Unavailable."""
        if self._uploads is None:
            raise Bug("the uploads were not begun")
        return self._uploads.look()

    def stop(self) -> None:
        """End all processes and unmount."""
        for mount in self._mounts:
            mount.stop()
        self._children.stop(_PATIENCE_S)
        deadline = self._now() + _PATIENCE_S
        for mount in self._mounts:
            mount.clean(deadline)


def _completed(command: MountCommand, share: int) -> MountCommand:
    """A mount with its share of the memory, readable for an application that runs as another user."""
    words = command.words
    if value_of(words, "--cache-size") is None:
        words = (*words, "--cache-size", str(share))
    if "--allow-other" not in words and _may_allow_others():
        words = (*words, "--allow-other")
    return replace(command, words=words)


def _may_allow_others() -> bool:
    """Whether FUSE lets this user open a mount to others."""
    if os.geteuid() == 0:
        return True
    try:
        lines = _FUSE_CONF.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return "user_allow_other" in (line.strip() for line in lines)
