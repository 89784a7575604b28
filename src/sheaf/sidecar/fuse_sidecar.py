"""The kind ``fuse``: bundles are mounted before the application starts, folders are uploaded after it has ended."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from sheaf.errors import Bug, Unavailable
from sheaf.sidecar.children import Child, Children
from sheaf.sidecar.command_lines import FuseCommands, MountCommand, UploadCommand, value_of
from sheaf.sidecar.command_queue import Command, CommandQueue
from sheaf.sidecar.coordination import write_whole
from sheaf.sidecar.mount_process import MountProcess

__all__ = ["FuseSidecar"]

_UPLOADED: Final = re.compile(r"(?:Uploaded|Unchanged) bundle id:(\w+)")
_MIB: Final = 1 << 20
_SMALLEST_CACHE: Final = 4 * _MIB
_PATIENCE_S: Final = 10.0
_FUSE_CONF: Final = Path("/etc/fuse.conf")


class FuseSidecar:
    """``program``: the command that reads the words. ``cache_bytes``: memory for what all mounts together cache."""

    def __init__(
        self,
        commands: FuseCommands,
        program: Sequence[str],
        children: Children,
        cache_bytes: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._program = tuple(program)
        self._children = children
        share = max(_SMALLEST_CACHE, cache_bytes // max(1, len(commands.mounts)))
        self._mounts = [MountProcess(_completed(each, share), program, children, now) for each in commands.mounts]
        self._config = CommandQueue(self._configuration(), children)
        self._checks = CommandQueue(self._early_checks(), children)
        self._uploads: CommandQueue | None = None
        self._are_mounts_started = False
        #: Ids of the bundles that were committed.
        self.bundles: list[str] = []

    def _configuration(self) -> Iterator[Command]:
        if self._commands.config:
            yield Command("config", (*self._program, *self._commands.config))

    def _early_checks(self) -> Iterator[Command]:
        """What has to fail now rather than after hours of the application's work."""
        for upload in self._commands.uploads:
            words = (*self._program, *upload.words[:2], "--help", *upload.words[2:])  # unknown options fail
            yield Command(_name(upload), words, is_quiet=True)
        for repo in dict.fromkeys(upload.repo for upload in self._commands.uploads):
            yield Command(f"repo {repo}", (*self._program, "repo", "get", "--repo", repo), is_quiet=True)

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
        self._uploads = CommandQueue(map(self._upload, uploads), self._children, keep_going=True)

    def _upload(self, upload: UploadCommand) -> Command:
        return Command(_name(upload), (*self._program, *upload.words), partial(self._uploaded, upload))

    def _uploaded(self, upload: UploadCommand, child: Child) -> None:
        found = [match[1] for line in child.lines if (match := _UPLOADED.match(line))]
        if not found:
            raise Unavailable(f"{child.name}: it has printed no bundle id", "see the log of the sidecar")
        self.bundles.append(found[-1])
        if upload.id_file is None:
            return
        try:
            write_whole(upload.id_file, f"{found[-1]}\n")
        except OSError as error:
            message = f"bundle {found[-1]} is saved, but its id can't be written to {upload.id_file}: {error.strerror}"
            raise Unavailable(message, "check the volume of the id file") from error

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
        for mount in self._mounts:
            mount.clean()


def _name(upload: UploadCommand) -> str:
    return f"upload {value_of(upload.words, '--path')}"


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
