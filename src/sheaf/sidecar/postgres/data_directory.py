"""The files of a database: what form a bundle has, and what a data directory must have before its server starts."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from sheaf.errors import InvalidInput, Refused
from sheaf.sidecar.children import Account

__all__ = [
    "ARCHIVE",
    "DATABASES",
    "ROLES",
    "VERSION",
    "create_empty",
    "ensure_without_links",
    "ensure_without_tablespaces",
    "form_of",
    "has_unlogged_tables",
    "own",
    "own_all",
    "prepare",
    "remove",
    "version_of",
    "within_archive",
    "write_owned",
]

VERSION: Final = "PG_VERSION"
ROLES: Final = "roles.sql"
DATABASES: Final = "databases"
_CONTROL: Final = "global/pg_control"
_OF_DATAMON: Final = "pg_version"
#: What bundles of Datamon's first generation contain: the version with its minor number, and a tar file.
_OF_ARCHIVE: Final = "meta/pg_version"
ARCHIVE: Final = "data/backup.tar.gz"
_PRIVATE: Final = 0o700
_TABLESPACES: Final = "pg_tblspc"
#: Folders that a server needs although they may be empty: Datamon's bundles do not contain empty folders.
_FOLDERS: Final = (
    *("pg_commit_ts", "pg_dynshmem", "pg_logical/mappings", "pg_logical/snapshots", "pg_notify", "pg_replslot"),
    *("pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", _TABLESPACES, "pg_twophase", "pg_wal/archive_status"),
)
#: What a running server has left, of which the next one must not believe that it is its own.
_STALE: Final = ("postmaster.pid", "postmaster.opts")


def form_of(folder: Path) -> str:
    """``raw``, ``dump``, or ``archive`` for a tar file of data files. Raises InvalidInput for anything else."""
    if (folder / _CONTROL).is_file():
        return "raw"
    if (folder / ARCHIVE).is_file():
        return "archive"
    if (folder / ROLES).is_file() and (folder / DATABASES).is_dir():
        return "dump"
    message = f"the bundle is not a database: it has neither {_CONTROL} nor {ROLES}"
    raise InvalidInput(message, "name a bundle that this sidecar has saved")


def version_of(folder: Path) -> int:
    """The major version that the files are of. Raises InvalidInput."""
    for name in (VERSION, _OF_DATAMON, _OF_ARCHIVE):
        with suppress(OSError):
            if match := re.match(r"\s*(\d+)", (folder / name).read_text(encoding="ascii", errors="replace")):
                return int(match[1])
    raise InvalidInput(
        f"the bundle is not a database: it has no {VERSION}", "name a bundle that this sidecar has saved"
    )


def create_empty(folder: Path, account: Account) -> None:
    """Create a folder for the server alone. Raises Refused if it contains something."""
    try:
        if folder.exists():
            if any(folder.iterdir()):
                raise Refused(f"{folder}: it is not empty", "use a new volume for each run, such as an emptyDir")
        else:
            folder.mkdir(parents=True)
        folder.chmod(_PRIVATE)
        own(folder, account)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}", "mount a volume there that the sidecar may write") from None


def prepare(source: Path, data: Path, account: Account) -> None:
    """Make a data directory of files that were downloaded next to it."""
    try:
        source.rename(data)  # over the empty folder
    except OSError as error:
        hint = "mount the volume at the folder above, which --data-dir names"
        raise Refused(f"{data}: can't put the data directory there: {error.strerror}", hint) from None
    for name in (*_STALE, _OF_DATAMON):
        (data / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        (data / name).mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
    data.chmod(_PRIVATE)
    own_all(data, account)


def within_archive(folder: Path) -> Path:
    """The data directory in an unpacked tar file: the folder itself, or the only one in it. Raises InvalidInput."""
    for found in (folder, *sorted(folder.iterdir())):
        if (found / _CONTROL).is_file():
            return found
    raise InvalidInput(f"{ARCHIVE}: it is not a data directory: it has no {_CONTROL}", "name another bundle")


def ensure_without_links(folder: Path) -> None:
    """Raise Refused for a symbolic link: what it points to would be read or changed, and no bundle would have it."""
    ensure_without_tablespaces(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink():
                hint = "replace the link with what it points to"
                raise Refused(f"{path.relative_to(folder)}: a database must not contain symbolic links", hint)


def ensure_without_tablespaces(data: Path) -> None:
    """Raise Refused if there are files outside of the data directory, which its bundle would lack."""
    folder = data / _TABLESPACES
    if folder.is_dir() and not folder.is_symlink() and any(path.is_symlink() for path in folder.iterdir()):
        raise Refused(
            f"{data}: it has tablespaces, whose files are elsewhere", "save it as a dump (--form dump), without them"
        )


def has_unlogged_tables(data: Path) -> bool:
    """Whether there are tables that a recovery empties."""
    return any(data.glob("base/*/*_init"))


def write_owned(path: Path, contents: bytes, account: Account) -> None:
    """Write a file for the server's account, in a folder that the account may write: a link there is not followed."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(contents)
    own(path, account)


def own(path: Path, account: Account) -> None:
    """Give a file to the server's account."""
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def own_all(folder: Path, account: Account) -> None:
    """Give a folder and all below it to the server's account."""
    own(folder, account)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            own(Path(parent, name), account)


def remove(folder: Path) -> None:
    """Remove a folder that is no longer needed."""
    shutil.rmtree(folder, ignore_errors=True)
