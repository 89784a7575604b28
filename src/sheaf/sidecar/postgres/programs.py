"""PostgreSQL's programs, and the account under which they run."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sheaf.errors import NotFound, Refused
from sheaf.sidecar.children import Account

__all__ = ["Programs", "find_programs", "server_account"]

_DEBIAN: Final = Path("/usr/lib/postgresql")
_ACCOUNT: Final = "postgres"
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
#: All that the sidecar runs. A folder that has only some of them, such as links to the server, is not used.
_NEEDED: Final = (
    *("initdb", "pg_controldata", "pg_dump", "pg_dumpall", "pg_isready", "pg_restore", "postgres", "psql", "vacuumdb"),
)
_PATIENCE_S: Final = 30.0
#: All that the server is given: its users can read its environment, which must not contain credentials of the store.
_PASSED_ON: Final = ("PATH", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Programs:
    """The folder of the programs of one major version."""

    folder: Path
    major: int

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)


def find_programs(given: Path | None, variables: Mapping[str, str], major: int | None = None) -> Programs:
    """The programs in a folder, or those of PATH and of Debian's folders; a wanted major version comes first there.

    Raises NotFound.
    """
    if given is not None:
        found = list(_in(given.absolute()))
        if not found:
            raise NotFound(
                f"{given}: it does not contain all programs of PostgreSQL",
                "name the folder of initdb, postgres and psql",
            )
        return found[0]
    folders = [Path(name) for name in variables.get("PATH", "").split(os.pathsep) if name]
    debian = sorted(_DEBIAN.glob("*/bin"), key=lambda path: (len(path.parts[-2]), path.parts[-2]), reverse=True)
    all_found = [programs for folder in (*folders, *debian) for programs in _in(folder)]
    if not all_found:
        raise NotFound(
            "PostgreSQL is not installed: there is no initdb in PATH or /usr/lib/postgresql/*/bin",
            "install it, or name its folder with --bin-dir",
        )
    return next((programs for programs in all_found if programs.major == major), all_found[0])


def _in(folder: Path) -> Iterator[Programs]:
    if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
        return
    command = [str(folder / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    if match := _VERSION.search(done.stdout):
        yield Programs(folder, int(match[1]))


def server_account(variables: Mapping[str, str]) -> Account:
    """Who the server runs as: it refuses to run as root. Raises Refused if there is no other user."""
    environment = {name: variables[name] for name in _PASSED_ON if name in variables} | {"LC_ALL": "C"}
    if os.geteuid() != 0:
        return Account(None, None, environment)
    try:
        found = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        raise Refused(
            f"PostgreSQL does not run as root, and there is no user '{_ACCOUNT}'",
            f"run the container as another user, or create the user '{_ACCOUNT}' in its image",
        ) from None
    return Account(found.pw_uid, found.pw_gid, environment)
