"""Mount bundles for a notebook, with the command line in a separate process that outlives the kernel.

A folder may have a mount of an earlier kernel: a mount of the same bundle is reused, another one is unmounted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sheaf.errors import Refused, Unavailable
from sheaf.repo.bundle import Bundle
from sheaf.storage.folder.network_mounts import Mounted, mounted_on

__all__ = ["mount"]

_COMMAND: Final = "import sys; from sheaf.cli.main import main; sys.exit(main())"
_ELSEWHERE: Final = "use --folder to download it instead"


def mount(bundle: Bundle, folder: Path, store: str | None) -> None:
    """Mount a bundle. ``store``: its URL, None for the store of the command line.

    Raises:
        Refused: the folder has a writable mount, or one of another bundle that is in use.
        Unavailable: the command failed.
    """
    found = mounted_on(folder)
    if found is not None and _is_ours(found):
        if _is_served(folder):
            if found.source == f"sheaf:{bundle.repo_name}@{bundle.id}":
                return
            if found.is_writable:
                hint = f"commit and unmount it with 'fusermount3 -u {folder}', or choose another folder"
                raise Refused(f"{folder} is a writable mount", hint)
        _unmount(folder, found)
    folder.mkdir(parents=True, exist_ok=True)
    what = ["--repo", bundle.repo_name, "--bundle", bundle.id, "--mount", str(folder), "--daemonize"]
    command = [sys.executable, "-c", _COMMAND, "bundle", "mount", *what, *(["--store", store] if store else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"can't mount at {folder}: {done.stderr.strip()}", _ELSEWHERE)


def _is_ours(found: Mounted) -> bool:
    return found.kind == "fuse.sheaf" or found.source.startswith("sheaf:")


def _is_served(folder: Path) -> bool:
    """True if the process of a mount is running.

    The system caches attributes of a mount, so only a call that is not cached (statvfs) shows it.
    """
    try:
        os.statvfs(folder)
    except OSError:
        return False
    return True


def _unmount(folder: Path, found: Mounted) -> None:
    """Unmount a folder. Raises Refused if it is in use.

    What a writable mount whose process has ended had written stays in its spill.
    """
    is_served = _is_served(folder)
    if sys.platform == "linux":
        command = ["fusermount3", "-u", *([] if is_served else ["-z"]), "--", str(folder)]
    else:
        command = ["umount", *([] if is_served else ["-f"]), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{folder}: {command[0]} is not installed", "install FUSE: apt-get install fuse3") from None
    if done.returncode:
        reason = done.stderr.strip() or f"{command[0]} failed"
        raise Refused(f"{folder}: can't unmount {found.source}: {reason}", "close the programs that use it")
