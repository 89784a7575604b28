"""The hidden folder next to the destination for files of an unfinished download; removed at the end.

A killed download leaves only this folder. The next one into the same destination finds it, and resumes if it downloads
the same. The destination itself never contains temporary files, unless its parent is not writable or on another file
system: then this folder is inside the destination during the download.

    lock    held while a process works here
    state   what is being downloaded, and whether files are being fetched or moved
    tree/   the files under their final names
"""

# os.listdir is used with descriptors, which pathlib can't list.
# ruff: noqa: PTH208

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from blake3 import blake3

from sheaf.errors import Refused
from sheaf.local_errors import local_error, printable, translated
from sheaf.transfer.local.dirfd import FOLDER_FLAGS
from sheaf.transfer.local.name_collisions import PROBES
from sheaf.transfer.local.remove import empty_folder, remove_folder
from sheaf.transfer.local.scan import PARTIAL_SUFFIX

__all__ = ["PartialFolder", "PartialLock"]

_OURS: Final = frozenset(("lock", "state", "state.new", "tree", *PROBES))
_TRIES: Final = 20  # to lock the folder
_PAUSE_S: Final = 0.05
_STAGES: Final = ("filling", "placing")


class _State(msgspec.Struct, frozen=True):
    identity: str
    stage: str
    erased: tuple[str, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PartialLock:
    """The lock of a partial folder before it is known what is downloaded. ``fd`` and ``lock`` are descriptors."""

    path: Path
    fd: int
    lock: int

    @classmethod
    def acquire(cls, dest: Path) -> PartialLock:
        """Create and lock the partial folder for ``dest``, an existing folder.

        Raises Refused (another process uses it, or its name is taken), Denied, NoSpace.
        """
        path = _left_behind(dest) or _place_for(dest)
        _forget_probe(path, dest)
        with translated(f"write {printable(str(path))}"):
            return cls(path, *_locked(path, dest))

    def release(self) -> None:
        """Unlock the folder without a download, and remove it unless it has files of an earlier one."""
        try:
            if os.listdir(self.fd) == ["lock"]:
                _unlink(self.fd, "lock")
                self.path.rmdir()
        except OSError:  # another process has entered it already, or the next download removes it
            return
        finally:
            os.close(self.lock)
            os.close(self.fd)


@dataclass(slots=True)
class PartialFolder:
    """An open, locked partial folder. ``fd`` and ``tree`` are descriptors; ``resumed``: True if it existed before.

    ``erased``, ``damaged``: files that can't be fetched, known once all others are; of damaged ones also the reason.
    """

    path: Path
    fd: int
    lock: int
    tree: int
    identity: str
    stage: str
    resumed: bool
    erased: tuple[str, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()

    @classmethod
    def is_installing_in(cls, dest: Path, identity: str) -> bool:
        """Return True if an earlier download of the same into ``dest`` was killed while it moved files."""
        path = _left_behind(dest)
        if path is None:
            return False
        with translated(f"read {printable(str(path))}"):
            fd = os.open(path, FOLDER_FLAGS)
        try:
            state = _read_state(fd)
        finally:
            os.close(fd)
        return state is not None and (state.identity, state.stage) == (identity, _STAGES[1])

    @classmethod
    def remove_empty(cls, dest: Path) -> None:
        """Remove the empty folder that a download leaves next to ``dest`` if it is killed at its very end."""
        for path in _candidates(dest):
            try:
                path.rmdir()
            except OSError:
                continue

    @classmethod
    def open(cls, dest: Path, identity: str) -> PartialFolder:
        """Open the partial folder for ``dest``, an existing folder. Files of another download in it are removed.

        Raises Refused (another process uses it, or its name is taken), Denied, NoSpace.
        """
        return cls.enter(PartialLock.acquire(dest), identity)

    @classmethod
    def enter(cls, held: PartialLock, identity: str) -> PartialFolder:
        """Open a locked partial folder, which then owns the lock. Files of another download in it are removed."""
        with translated(f"write {printable(str(held.path))}"):
            try:
                return cls._entered(held.path, held.fd, held.lock, identity)
            except BaseException:
                os.close(held.lock)
                os.close(held.fd)
                raise

    @classmethod
    def _entered(cls, path: Path, fd: int, lock: int, identity: str) -> PartialFolder:
        """Take over the folder's files if they are of the same download, else remove them."""
        state = _read_state(fd)
        resumed = state is not None and state.identity == identity
        if not resumed:
            # Remove the state first: it says that the files in the tree can be used.
            _unlink(fd, "state", "state.new", *PROBES)
            _remove_tree(fd)
        try:
            os.mkdir("tree", 0o700, dir_fd=fd)
        except FileExistsError:
            pass
        partial = cls(path, fd, lock, os.open("tree", FOLDER_FLAGS, dir_fd=fd), identity, _STAGES[0], resumed)
        if state is not None and resumed:
            partial.stage, partial.erased, partial.damaged = state.stage, state.erased, state.damaged
        else:
            partial._enter(_STAGES[0])
        return partial

    @property
    def is_installing(self) -> bool:
        """True if all files are fetched and verified; some may already have been moved."""
        return self.stage == _STAGES[1]

    def start_installing(self, erased: Iterable[str] = (), damaged: Iterable[tuple[str, str]] = ()) -> None:
        """Record that all files are fetched: a resumed download then only moves them."""
        self.erased, self.damaged = tuple(erased), tuple(damaged)
        self._enter(_STAGES[1])

    def _enter(self, stage: str) -> None:
        """Write the stage to disk."""
        self.stage = stage
        data = msgspec.json.encode(_State(self.identity, stage, self.erased, self.damaged))
        fd = os.open("state.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=self.fd)
        with open(fd, "wb") as file:
            file.write(data)
        os.rename("state.new", "state", src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def close(self, *, is_done: bool) -> None:
        """Close the folder, and remove it unless the next attempt can use its files."""
        try:
            if is_done or not os.listdir(self.tree):
                _remove_tree(self.fd)
                # Remove the state last: a download that is killed before then only repeats this.
                _unlink(self.fd, *PROBES, "state.new", "lock", "state")
                self.path.rmdir()
        except OSError as error:
            # If the folder is not empty, the next download has added files already: the folder belongs to it.
            if error.errno != errno.ENOTEMPTY:
                raise local_error(error, f"remove {printable(str(self.path))}") from error
        finally:
            for fd in (self.tree, self.lock, self.fd):
                os.close(fd)


def _candidates(dest: Path) -> list[Path]:
    name = f".{dest.name}{PARTIAL_SUFFIX}"
    if len(os.fsencode(name)) > 255:
        name = f".{blake3(os.fsencode(dest.name)).hexdigest()[:16]}{PARTIAL_SUFFIX}"
    concurrently = [dest.parent / name] if dest.name else []
    return [*concurrently, dest / PARTIAL_SUFFIX]


def _left_behind(dest: Path) -> Path | None:
    return next((path for path in _candidates(dest) if path.is_dir() and not path.is_symlink()), None)


def _place_for(dest: Path) -> Path:
    """Return the partial folder's path: next to the destination if files can be renamed from there, else inside."""
    *concurrently, inside = _candidates(dest)
    return next((path for path in concurrently if _can_serve(path, dest)), inside)


def _can_serve(path: Path, dest: Path) -> bool:
    """Create the folder. Return False, and remove it, if files can't be renamed from there into the destination."""
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        return isinstance(error, FileExistsError)
    try:
        (path / "tree").mkdir(mode=0o700)
        # Try the rename: a bind mount has the same st_dev, but a rename into it fails.
        (path / "tree").rename(dest / PARTIAL_SUFFIX)
        (dest / PARTIAL_SUFFIX).rmdir()
    except OSError:
        remove_folder(path)
        return False
    return True


def _forget_probe(path: Path, dest: Path) -> None:
    """Remove the empty folder that :func:`_can_serve` leaves in the destination if it is killed."""
    if path.parent != dest:
        try:
            (dest / PARTIAL_SUFFIX).rmdir()
        except OSError:
            return


def _locked(path: Path, dest: Path) -> tuple[int, int]:
    """Create and lock the folder; return descriptors of the folder and of the lock. Raises Refused."""
    while True:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        try:
            fd = os.open(path, FOLDER_FLAGS)
        except FileNotFoundError:
            continue
        _check_ours(fd, path)
        lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        if _is_taken(lock):
            os.close(lock)
            os.close(fd)
            raise Refused(f"another process is downloading into {printable(str(dest))}", "wait until it ends")
        if _is_still(path, fd):
            return fd, lock
        os.close(lock)
        os.close(fd)
        # The owner of the folder has removed it between our steps.
        time.sleep(0.01)


def _check_ours(fd: int, path: Path) -> None:
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022 or not _OURS.issuperset(os.listdir(fd)):
        os.close(fd)
        raise Refused(f"{printable(str(path))} already exists and is not your partial download", "move it away")


def _is_taken(lock: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Processes that a killed download has started end once they have written the file that they are at.
            time.sleep(_PAUSE_S)
            continue
        except OSError:
            # The file system has no locks: users must avoid two downloads into one folder.
            pass
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat()) and bool(os.stat("lock", dir_fd=fd))
    except FileNotFoundError:
        return False


def _read_state(fd: int) -> _State | None:
    try:
        with open(os.open("state", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), "rb") as file:
            state = msgspec.json.decode(file.read(), type=_State)
    except (OSError, msgspec.MsgspecError):
        return None
    return state if state.stage in _STAGES else None


def _unlink(fd: int, *names: str) -> None:
    for name in names:
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            continue


def _remove_tree(fd: int) -> None:
    try:
        tree = os.open("tree", FOLDER_FLAGS, dir_fd=fd)
    except FileNotFoundError:
        return
    try:
        empty_folder(tree)
    finally:
        os.close(tree)
    os.rmdir("tree", dir_fd=fd)
