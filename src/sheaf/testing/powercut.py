"""Simulate a power cut for folder stores: everything that was not synced is dropped or torn.

``RecordingSyscalls`` replaces the object through which ``FolderBackend`` makes its system calls. The calls are really made,
in a real folder, and a model records what a disk must have kept: the content of a file and the entries of a folder as
of their last sync. :meth:`RecordingSyscalls.after_cut` writes a state that a reboot could find.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sheaf.storage.folder.backend import Durability, FolderBackend
from sheaf.storage.folder.syscalls import Syscalls
from sheaf.storage.port import Backend

__all__ = ["VARIANTS", "PowerCut", "RecordingSyscalls", "Variant", "survives_every_power_cut"]


class PowerCut(BaseException):
    """A power cut. A ``BaseException``, so that no handler catches it."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One possible outcome for data that was not synced."""

    name: str
    keep_entry: Callable[[random.Random], bool]
    content: Callable[[random.Random, bytes], bytes]


def _torn(rng: random.Random, content: bytes) -> bytes:
    ways = [b"", bytes(len(content)), content[: len(content) // 2], content[:-1] + b"\0", content]
    return rng.choice(ways)


def _coin(rng: random.Random) -> bool:
    return rng.random() < 0.5


#: What file systems do: lose everything, keep names without content (empty or zeros), or reorder as they like.
VARIANTS: tuple[Variant, ...] = (
    Variant("all dropped", lambda _: False, lambda _rng, _content: b""),
    Variant("names kept, files empty", lambda _: True, lambda _rng, _content: b""),
    Variant("names kept, files zeroed", lambda _: True, lambda _rng, content: bytes(len(content))),
    Variant("names kept, files torn", lambda _: True, _torn),
    Variant("some names kept, files torn", _coin, _torn),
    Variant("other names kept, files torn", _coin, _torn),
)


@dataclass(slots=True)
class _File:
    content: bytearray = field(default_factory=bytearray)
    synced: bytes | None = None


@dataclass(slots=True)
class _Folder:
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)  #: None: the name was removed

    def entries(self, keep: Callable[[], bool] = lambda: True) -> dict[str, _File | _Folder]:
        """The synced entries with the later changes for which ``keep`` returns True, in their order."""
        found = dict(self.synced)
        for name, node in self.pending:
            if not keep():
                continue
            if node is None:
                found.pop(name, None)
            else:
                found[name] = node
        return found


class RecordingSyscalls(Syscalls):
    """Makes and records the calls below ``base``, an existing folder. Call ``stop_at`` and later ones raise ``PowerCut``."""

    def __init__(self, base: Path, stop_at: int | None = None) -> None:
        self._base = base
        self._stop_at = stop_at
        self._root = _Folder()
        self._open: dict[int, _File] = {}
        self._lock = threading.RLock()
        self.made = 0  #: calls so far

    # ── the calls ─────────────────────────────────────────────────────────────

    def create(self, path: str, mode: int) -> int:
        with self._call():
            fd = super().create(path, mode)
            self._open[fd] = _File()
            self._note(path, self._open[fd])
            return fd

    def write(self, fd: int, parts: Sequence[memoryview]) -> None:
        with self._call():
            super().write(fd, parts)
            for part in parts:
                self._open[fd].content += part

    def sync_file(self, fd: int) -> None:
        with self._call():
            self._open[fd].synced = bytes(self._open[fd].content)

    def sync_folder(self, path: str) -> None:
        with self._call():
            if not os.path.isdir(path):  # noqa: PTH112
                raise FileNotFoundError(path)
            if Path(path).is_relative_to(self._base):
                folder = self._folder(path)
                folder.synced, folder.pending = folder.entries(), []

    def close(self, fd: int) -> None:
        # The kernel closes descriptors even for a dead process.
        with self._lock:
            super().close(fd)
            del self._open[fd]

    def mkdir(self, path: str, mode: int) -> None:
        with self._call():
            super().mkdir(path, mode)
            self._note(path, _Folder())

    def link(self, source: str, target: str) -> None:
        with self._call():
            super().link(source, target)
            self._note(target, self._node(source))

    def rename_new(self, source: str, target: str) -> None:
        with self._call():
            super().rename_new(source, target)
            self._note(target, self._node(source))
            self._note(source, None)

    def rename(self, source: str, target: str) -> None:
        with self._call():
            super().rename(source, target)
            self._note(target, self._node(source))
            self._note(source, None)

    def unlink(self, path: str) -> None:
        with self._call():
            super().unlink(path)
            self._note(path, None)

    # ── the model ─────────────────────────────────────────────────────────────

    def after_cut(self, target: Path, variant: Variant, rng: random.Random) -> None:
        """Write the state of ``base`` after a reboot to ``target``, which must not exist."""
        with self._lock:
            self._restore(self._root, target, variant, rng)

    def _restore(self, folder: _Folder, target: Path, variant: Variant, rng: random.Random) -> None:
        target.mkdir()
        for name, node in folder.entries(lambda: variant.keep_entry(rng)).items():
            if isinstance(node, _Folder):
                self._restore(node, target / name, variant, rng)
            else:
                whole = bytes(node.content)
                (target / name).write_bytes(variant.content(rng, whole) if node.synced is None else node.synced)

    def _call(self) -> threading.RLock:
        with self._lock:
            if self._stop_at is not None and self.made + 1 >= self._stop_at:
                raise PowerCut(f"at system call {self._stop_at}")
            self.made += 1
        return self._lock

    def _note(self, path: str, node: _File | _Folder | None) -> None:
        folder, name = os.path.split(path)
        self._folder(folder).pending.append((name, node))

    def _folder(self, path: str) -> _Folder:
        found = self._node(path)
        assert isinstance(found, _Folder), path
        return found

    def _node(self, path: str) -> _File | _Folder:
        node: _File | _Folder = self._root
        for name in Path(path).relative_to(self._base).parts:
            assert isinstance(node, _Folder), path
            node = node.entries()[name]
        return node


def survives_every_power_cut(
    scratch: Path,
    operation: Callable[[Backend, list[Any]], object],
    check: Callable[[Backend, list[Any]], object],
    *,
    durability: Durability = "full",
    calls: Callable[[Path, int | None], RecordingSyscalls] = RecordingSyscalls,
    step: int = 1,
) -> int:
    """Cut the power before every ``step``-th system call of ``operation`` and once after it; return the number of cuts.

    ``operation`` gets a fresh store and a list to which it appends what was acknowledged. After each cut, for each of
    :data:`VARIANTS`, ``check`` gets the store as found after the reboot and that list; it raises, or returns False, if
    anything acknowledged is lost or anything is torn. ``scratch`` is a folder for all this.
    """
    for cut in itertools.count():
        stop_at = 1 + cut * step
        base = scratch / f"run-{cut}"
        base.mkdir()
        syscalls, acknowledged, finished = calls(base, stop_at), list[Any](), False
        try:
            operation(FolderBackend(base / "store", durability=durability, syscalls=syscalls), acknowledged)
            finished = True
        except PowerCut:
            pass
        _check_variants(syscalls, base, f"system call {stop_at}", partial(_call_check, check, acknowledged))
        shutil.rmtree(base)
        if finished:
            return cut + 1
    raise AssertionError("unreachable")


def _call_check(check: Callable[[Backend, list[Any]], object], acknowledged: list[Any], found: Backend) -> object:
    return check(found, acknowledged)


def _check_variants(syscalls: RecordingSyscalls, base: Path, where: str, check: Callable[[Backend], object]) -> None:
    for number, variant in enumerate(VARIANTS):
        after = base.with_name(f"{base.name}-after-{number}")
        syscalls.after_cut(after, variant, random.Random(f"{where} {number}"))
        try:
            verdict = check(FolderBackend(after / "store", durability="none"))
        except Exception as error:
            error.add_note(f"power cut at {where}: {variant.name}")
            raise
        assert verdict is not False, f"power cut at {where}: {variant.name}"
        shutil.rmtree(after)
